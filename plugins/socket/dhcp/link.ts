/**
 * How a client hears and speaks: by packet socket while it has no address, over UDP once it has one. RFC 2131 section 4.1.
 */
import { ERRNO, type Net, type NetDevice } from "../../../core/mod.ts";
import { AF_PACKET } from "../../transport/packet/contract.ts";
import {
  AF_INET,
  type MsgHdr,
  msgHdr,
  SO_BINDTODEVICE,
  SO_BROADCAST,
  SOCK_DGRAM,
  SOL_SOCKET,
} from "../../transport/sock/contract.ts";
import { SYSCALL, type Syscalls } from "../syscall/contract.ts";
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from "./contract.ts";
import { buildDatagram, parseDatagram } from "./packet.ts";

const ETH_P_IP = 0x0800;

/** The sockets of one client. */
export class ClientLink implements Disposable {
  readonly #sys: Syscalls;
  readonly #dev: NetDevice;
  readonly #heard: (message: Uint8Array) => void;
  readonly #rx: MsgHdr = msgHdr(new Uint8Array(0x10000));
  #udp = -1;
  #packet = -1;

  /** On `dev`; `heard`: each datagram to the client's port, once. */
  constructor(net: Net, dev: NetDevice, heard: (message: Uint8Array) => void) {
    this.#sys = net.get(SYSCALL);
    this.#dev = dev;
    this.#heard = heard;
  }

  /** Opens the UDP socket; 0 or a negative errno: -EADDRINUSE, another client runs. */
  open(): number {
    const sys = this.#sys;
    const fd = sys.socket(AF_INET, SOCK_DGRAM, 17);
    if (fd < 0) return fd;
    sys.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, this.#dev.ifindex);
    sys.setsockopt(fd, SOL_SOCKET, SO_BROADCAST, 1);
    const err = sys.bind(fd, 0, DHCP_CLIENT_PORT);
    if (err < 0) {
      sys.close(fd);
      return err;
    }
    this.#udp = fd;
    sys.onReady(fd, () => this.#receive(fd));
    return 0;
  }

  /** Hears what is sent to an address that we have not; `on` false: no more. */
  raw(on: boolean): void {
    const sys = this.#sys;
    if (on && this.#packet < 0) {
      const fd = this.#packet = sys.socket(AF_PACKET, SOCK_DGRAM, 0);
      if (fd < 0) return;
      sys.onReady(fd, () => this.#receive(fd));
      sys.bind(fd, this.#dev.ifindex, ETH_P_IP);
    } else if (!on && this.#packet >= 0) this.#packet = this.#close(this.#packet);
  }

  #close(fd: number): -1 {
    this.#sys.onReady(fd, null);
    this.#sys.close(fd);
    return -1;
  }

  #receive(fd: number): void {
    const { buf } = this.#rx;
    while (fd === this.#udp || fd === this.#packet) {
      this.#rx.len = buf.length;
      const n = this.#sys.recvmsg(fd, this.#rx, 0);
      if (n === -ERRNO.EAGAIN || n === -ERRNO.EBADF) return;
      if (n < 0) continue;
      // While both hear, the packet socket is who counts: it hears all.
      const message = fd === this.#packet
        ? parseDatagram(buf, n, DHCP_CLIENT_PORT)
        : this.#packet < 0
        ? new Uint8Array(buf.buffer, 0, n)
        : null;
      if (message !== null) this.#heard(message);
    }
  }

  /** To all on the link, from nobody. */
  broadcastRaw(message: Uint8Array): void {
    const { ifindex } = this.#dev;
    const fd = this.#packet >= 0 ? this.#packet : this.#sys.socket(AF_PACKET, SOCK_DGRAM, 0);
    const ll = { ifindex, protocol: ETH_P_IP, hatype: 1, pkttype: 0, addrHi: 0xffff, addrLo: -1 };
    const packet = buildDatagram(0, -1, DHCP_CLIENT_PORT, DHCP_SERVER_PORT, message);
    this.#sys.sendmsg(fd, { ...msgHdr(packet), ll }, 0);
    if (fd !== this.#packet) this.#sys.close(fd);
  }

  /** From our address, to a server or to all (-1). */
  send(message: Uint8Array, addr: number): void {
    this.#sys.sendmsg(this.#udp, { ...msgHdr(message), addr, port: DHCP_SERVER_PORT }, 0);
  }

  /** Closes. */
  [Symbol.dispose](): void {
    this.raw(false);
    if (this.#udp >= 0) this.#udp = this.#close(this.#udp);
  }
}
