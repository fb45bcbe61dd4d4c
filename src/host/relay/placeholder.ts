/** In the arguments of a machine that connects to its monitor: the port where that waits for it. */
export const PORT_PLACEHOLDER = "{relay-port}";
