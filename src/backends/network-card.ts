/**
 * The address of every guest's network card: locally administered. Each card is alone on its network, be that a tap or
 * QEMU's own, so all may have the same one, and a restored guest need not change it.
 */
export const GUEST_MAC = "52:54:00:73:6d:6c";
