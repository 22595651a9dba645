/**
 * TAP: a real Linux interface whose other end is a device of the net. What the kernel sends there, the net receives.
 * Linux: drivers/net/tun.c, Documentation/networking/tuntap.rst.
 *
 * It needs `--allow-ffi`, a machine with {@linkcode realPlatform}, and either root or an interface that was made before:
 * `sudo ip tuntap add dev tap0 mode tap user $(id -un) && sudo ip link set tap0 up`. What is missing is said in one line
 * by a {@linkcode DeviceError}.
 *
 * poll(2) is its interrupt line: one for all devices of the process, see `poller.ts`. NAPI reads frames under its budget
 * straight into packet memory, in batches; `startXmit` puts them into a ring, and a doorbell writes them straight from
 * there when an entry or a poll ends. Where entering the kernel is dear, io_uring moves a batch in one system call
 * (`uring.ts`); elsewhere each frame has its read(2) or write(2).
 *
 * `offloads: true` is the larger lever: a frame may then be a TCP super-packet of 64 KiB, its checksum left partial, as
 * with virtio-net.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { tap } from "@netpath/stack/tap";
 *
 * // Virtual time and a real device do not go together.
 * try {
 *   tap(new Machine().createNet(), { name: "tap0" });
 * } catch (error) {
 *   assertEquals((error as { code: string }).code, "NotSupported");
 * }
 * ```
 *
 * @module
 */
import {
  type Net,
  netdevOps,
  NETIF_F_GRO,
  NETIF_F_GSO_UDP_L4,
  NETIF_F_HW_CSUM,
  NETIF_F_RXCSUM,
  NETIF_F_SG,
  NETIF_F_TSO,
} from "../../../core/mod.ts";
import { DeviceError, type TapDevice, type TapOptions } from "./contract.ts";
import { openTap } from "./open.ts";
import { tapXmit } from "./output.ts";
import { hostPoller } from "./poller.ts";
import { Tap } from "./state.ts";

export * from "./contract.ts";
export * from "./header.ts";

const OFFLOADS = NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_TSO | NETIF_F_GSO_UDP_L4;

/** Adds a TAP to a net, down. Throws a {@linkcode DeviceError} whose one line says what to run. */
export function tap(net: Net, options: TapOptions = {}): TapDevice {
  const what = `Cannot open TAP ${options.name ?? "tap%d"}`;
  if (net.machine.platform.virtual) {
    throw new DeviceError(
      "NotSupported",
      `${what}: the machine has virtual time; make it with new Machine({ platform: realPlatform() })`,
    );
  }
  const poller = hostPoller(what);
  let fd = -1;
  try {
    const kernel = openTap(poller.libc, options);
    fd = kernel.fd;
    let self: Tap | null = null;
    const dev = net.registerNetdevice(options.as ?? kernel.name, {
      ops: netdevOps({
        open: () => self!.open(),
        stop: () => self!.stop(),
        startXmit: (skb, _dev, more) => tapXmit(self!, skb, more),
        changeMtu: (_dev, mtu) => self!.changeMtu(mtu),
      }),
      mtu: options.mtu ?? kernel.mtu,
      features: NETIF_F_SG | (options.offloads ? OFFLOADS : 0) | (options.gro ? NETIF_F_GRO : 0),
      ...(options.address === undefined ? {} : { address: options.address }),
      ...(options.txQueueLen === undefined ? {} : { txQueueLen: options.txQueueLen }),
    });
    self = new Tap(net, dev, kernel, poller, options);
    return self;
  } catch (error) {
    if (fd >= 0) poller.libc.sys.close(fd);
    poller.release();
    throw error;
  }
}
