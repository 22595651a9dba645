/**
 * A lease with a promise: waiting for one takes time.
 */
import type { Net } from "../../../core/mod.ts";
import { DHCP_CLIENT, type DhcpLease } from "./contract.ts";

/** There is no lease: Node's `code`. */
export class DhcpError extends Error {
  /** `ETIMEDOUT`: no server answered; `ENETDOWN`: the device went down, or the net ended. */
  readonly code: "ETIMEDOUT" | "ENETDOWN";

  /** About a device. */
  constructor(code: "ETIMEDOUT" | "ENETDOWN", dev: string) {
    const why = code === "ETIMEDOUT" ? "no DHCP server answered" : "the device is down";
    super(`Cannot get an address for ${dev}: ${why}`);
    this.name = code === "ETIMEDOUT" ? "TimedOut" : "Error";
    this.code = code;
  }
}

/**
 * The lease of a device, as soon as it has one. Rejects with a {@linkcode DhcpError}, or with the reason of `signal`; a
 * device that no client is for is a TypeError.
 *
 * @example
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { dhcpClient, DhcpError, leased } from "@netpath/stack/dhcp";
 * import { nic, wire } from "@netpath/stack/nic";
 *
 * using machine = new Machine();
 * const host = createHost({ machine, plugins: [dhcpClient({ dev: "eth0" })] });
 * nic(host.net, "eth0", { wire: wire(machine) }); // nobody else is on it
 * await assertRejects(() => leased(host.net, "eth0"), DhcpError, "no DHCP server answered");
 * ```
 */
export async function leased(net: Net, dev: string, options: { signal?: AbortSignal } = {}): Promise<DhcpLease> {
  const { signal } = options;
  const client = net.get(DHCP_CLIENT);
  signal?.throwIfAborted();
  const lease = client.lease(dev);
  if (lease !== null) return lease;
  return await new Promise((resolve, reject) => {
    const end = (): void => {
      listener[Symbol.dispose]();
      signal?.removeEventListener("abort", abort);
    };
    const abort = (): void => {
      end();
      reject(signal!.reason);
    };
    const listener = client.onEvent((event) => {
      if (event.dev !== dev || !["bound", "timeout", "stopped"].includes(event.kind)) return;
      end();
      if (event.kind === "bound") resolve(event.lease!);
      else reject(new DhcpError(event.kind === "timeout" ? "ETIMEDOUT" : "ENETDOWN", dev));
    });
    signal?.addEventListener("abort", abort);
  });
}
