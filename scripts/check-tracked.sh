#!/bin/sh
# Fails if git tracks what is made here: a node_modules that is a link (as in a second worktree) is committed by `git add -A`
# in an older checkout, and merging that replaces everybody's real directory.
tracked=$(git ls-files -- node_modules dist native target 2>/dev/null | head -n 5)
[ -z "$tracked" ] && exit 0
echo "these are made here and must not be committed: $tracked" >&2
echo "  git rm -r --cached node_modules   (and then amend the commit that added it)" >&2
exit 1
