# What ordinary programs do, in $MNT; $SHARE is the same directory on the host.
cd "$MNT"
echo hello >a
test "$(cat "$SHARE/a")" = hello
echo more >>a
test "$(wc -c <a)" = 11
mkdir -p d/e/f
mv a d/e/f/b
ln -s d/e/f/b link
test "$(cat link)" = "hello
more"
ln link hard && ln d/e/f/b d/hard
test "$(stat -c %h d/hard)" = 2
chmod 600 d/hard
test "$(stat -c %a "$SHARE/d/e/f/b")" = 600
touch -d '2001-02-03 04:05:06.789' d/hard
test "$(stat -c %y "$SHARE/d/hard" | cut -c1-23)" = "2001-02-03 04:05:06.789"
chmod 000 d/hard && chmod 644 d/hard
truncate -s 1000000 sparse
fallocate -p -o 4096 -l 4096 sparse
dd if=/dev/urandom of=big bs=1M count=8 status=none
cmp big "$SHARE/big"
cp big big2 && cmp big big2
mkfifo fifo 2>/dev/null && exit 1
rm -rf d link hard big big2 sparse
test -z "$(ls -A "$SHARE")"
i=0
while [ $i -lt 1000 ]; do : >"f$i"; i=$((i + 1)); done
test "$(ls | wc -l)" = 1000
test "$(find . -type f | wc -l)" = 1000
exec 3>open
rm open
echo still >&3
exec 3>&-
rm -rf ./*
test -z "$(ls -A)"
df . >/dev/null
