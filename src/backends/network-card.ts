/**
 * The address that every machine's network card is made with: locally administered. It is in the state that others go on from, so it is the same in
 * all; each guest gives its card one of its own when it is told who it is (vm/lifecycle/identity.ts), before the card is up.
 */
export const GUEST_MAC = "52:54:00:73:6d:6c";
