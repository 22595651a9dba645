/**
 * Opens the kernel's side of a TAP, and says what to do when that fails.
 *
 * @module
 */
import { errnoName, strerror } from "../../../core/mod.ts";
import { DeviceError, type TapOptions } from "./contract.ts";
import { cString, type Libc, O_RDWR_NONBLOCK_CLOEXEC } from "./ffi.ts";
import { VNET_HDR_LEN } from "./header.ts";

const TUNSETIFF = 0x400454can;
const TUNSETOFFLOAD = 0x400454d0n;
const TUNSETVNETHDRSZ = 0x400454d8n;
const TUNSETCARRIER = 0x400454e2n;
const TUNGETIFF = 0x800454d2n;
const SIOCGIFFLAGS = 0x8913n;
const SIOCGIFMTU = 0x8921n;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM = 1n;
const TUN_F_TSO4 = 2n;
const TUN_F_TSO_ECN = 8n;
const IFNAMSIZ = 16;
const IFREQ_LEN = 40;

/** The kernel's side of a TAP. */
export interface KernelTap {
  /** Descriptor. */
  readonly fd: number;
  /** Name of the interface. */
  readonly name: string;
  /** Number of the interface. */
  readonly ifindex: number;
  /** MTU of the interface. */
  readonly mtu: number;
  /** IFF_UP of the interface. */
  readonly up: boolean;
}

/** Opens or makes the interface. Throws a {@linkcode DeviceError} whose one line says what to run. */
export function openTap(libc: Libc, options: TapOptions): KernelTap {
  const wanted = options.name ?? "tap%d";
  if (!/^[^\s/:]{1,15}$/.test(wanted)) {
    throw new DeviceError("EINVAL", `Cannot open TAP ${wanted}: an interface name has 1 to 15 characters, no "/"`);
  }
  const fd = libc.sys.open(cString("/dev/net/tun"), O_RDWR_NONBLOCK_CLOEXEC);
  if (fd < 0) throw openError(wanted, libc.errno);
  const request = new Uint8Array(IFREQ_LEN);
  putName(request, wanted);
  const flags = IFF_TAP | IFF_NO_PI | (options.offloads ? IFF_VNET_HDR : 0);
  new DataView(request.buffer).setUint16(IFNAMSIZ, flags, true);
  if (libc.sys.ioctl(fd, TUNSETIFF, request) < 0) {
    const errno = libc.errno;
    libc.sys.close(fd);
    throw attachError(wanted, errno);
  }
  if (options.offloads) setOffloads(libc, fd, wanted);
  const name = nameOf(request);
  return { fd, name, ifindex: libc.sys.if_nametoindex(cString(name)), ...stateOf(libc, name) };
}

/** Our side comes up or goes down: the kernel's interface gains or loses its carrier. */
export function setKernelCarrier(libc: Libc, fd: number, on: boolean): void {
  const value = new Uint8Array(4);
  value[0] = on ? 1 : 0;
  libc.sys.ioctl(fd, TUNSETCARRIER, value);
}

/** Whether the descriptor still has its interface, be it in another network namespace. */
export function stillAttached(libc: Libc, fd: number): boolean {
  return libc.sys.ioctl(fd, TUNGETIFF, new Uint8Array(IFREQ_LEN)) >= 0;
}

function setOffloads(libc: Libc, fd: number, name: string): void {
  const size = new Uint8Array(4);
  size[0] = VNET_HDR_LEN;
  const ok = libc.sys.ioctl(fd, TUNSETVNETHDRSZ, size) >= 0 &&
    libc.sys.ioctl_int(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN) >= 0;
  if (ok) return;
  const errno = libc.errno;
  libc.sys.close(fd);
  throw new DeviceError(errnoName(errno), `Cannot open TAP ${name} with offloads: ${strerror(errno)}; leave them off`);
}

function stateOf(libc: Libc, name: string): { mtu: number; up: boolean } {
  const request = new Uint8Array(IFREQ_LEN);
  const view = new DataView(request.buffer);
  const socket = libc.sys.socket(2, 2 | 0o2000000, 0);
  putName(request, name);
  const mtu = libc.sys.ioctl(socket, SIOCGIFMTU, request) < 0 ? 1500 : view.getInt32(IFNAMSIZ, true);
  const up = libc.sys.ioctl(socket, SIOCGIFFLAGS, request) >= 0 && (view.getUint16(IFNAMSIZ, true) & 1) !== 0;
  libc.sys.close(socket);
  return { mtu, up };
}

function openError(name: string, errno: number): DeviceError {
  const what = `Cannot open TAP ${name}: /dev/net/tun`;
  const code = errnoName(errno);
  if (code === "ENOENT") {
    return new DeviceError(
      code,
      `${what} is missing; run: sudo modprobe tun (in a container: start it with --device /dev/net/tun)`,
    );
  }
  if (code === "EACCES" || code === "EPERM") {
    return new DeviceError(code, `${what} may not be opened by this user; run: sudo chmod 666 /dev/net/tun`);
  }
  if (code === "ENODEV" || code === "ENXIO" || code === "E6") {
    return new DeviceError(code, `${what} has no driver; run: sudo modprobe tun`);
  }
  return new DeviceError(code, `${what}: ${strerror(errno)} (${code})`);
}

function attachError(name: string, errno: number): DeviceError {
  const what = `Cannot open TAP ${name}`;
  const code = errnoName(errno);
  const shown = name.includes("%") ? "tap0" : name;
  if (code === "EPERM" || code === "EACCES") {
    return new DeviceError(
      code,
      `${what}: only root makes interfaces; run: sudo ip tuntap add dev ${shown} mode tap user $(id -un) && ` +
        `sudo ip link set ${shown} up` + (shown === name ? "" : `, and give { name: "${shown}" }`),
    );
  }
  if (code === "EBUSY") {
    return new DeviceError(code, `${what}: another process has it open; find it with: sudo lsof /dev/net/tun`);
  }
  if (code === "EINVAL") {
    return new DeviceError(
      code,
      `${what}: an interface of that name is no TAP, or has other flags; look with: ip -d link show ${shown}`,
    );
  }
  return new DeviceError(code, `${what}: ${strerror(errno)} (${code})`);
}

function putName(request: Uint8Array, name: string): void {
  for (let i = 0; i < IFNAMSIZ; i++) request[i] = i < name.length ? name.charCodeAt(i) : 0;
}

function nameOf(request: Uint8Array): string {
  let name = "";
  for (let i = 0; i < IFNAMSIZ && request[i] !== 0; i++) name += String.fromCharCode(request[i]);
  return name;
}
