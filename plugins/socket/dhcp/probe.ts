/**
 * Is an address free? The server asks by ping before it offers one, the client by ARP before it uses one.
 * RFC 2131 sections 2.2 and 4.4.1, RFC 5227 section 2.1.
 */
import { ERRNO, HrTimer, type Net, type NetDevice } from "../../../core/mod.ts";
import { AF_PACKET } from "../../transport/packet/contract.ts";
import { AF_INET, msgHdr, SOCK_DGRAM, type SockaddrLl } from "../../transport/sock/contract.ts";
import { SYSCALL } from "../syscall/contract.ts";

const ETH_P_ARP = 0x0806;
const ARP_LEN = 28;
const EAGAIN = -ERRNO.EAGAIN;

/**
 * Asks for an echo; `done(true)`: somebody answered in `ms`; `done(false)`: nobody did. Dispose it to forget the question.
 */
export function pingProbe(net: Net, addr: number, ms: number, done: (used: boolean) => void): Disposable {
  const sys = net.get(SYSCALL);
  const { machine } = net;
  const fd = ms > 0 ? sys.socket(AF_INET, SOCK_DGRAM, 1) : -1;
  let open = true;
  const end = (): void => {
    open = false;
    machine.hrtimers.cancel(timer);
    if (fd < 0) return;
    sys.onReady(fd, null);
    sys.close(fd);
  };
  const say = (used: boolean): void => {
    if (!open) return;
    end();
    done(used);
  };
  const timer = new HrTimer(() => say(false));
  const reply = msgHdr(new Uint8Array(64));
  const look = (): void => {
    while (open) {
      reply.len = reply.buf.length;
      const n = sys.recvmsg(fd, reply, 0);
      if (n === EAGAIN) return;
      // An error is no answer of the address itself: the timer says when it is enough.
      if (n < 0) continue;
      if (reply.addr === addr) return say(true);
    }
  };
  machine.enter();
  machine.hrtimers.start(timer, machine.now + Math.max(0, ms) * 1e6);
  if (fd >= 0) {
    sys.onReady(fd, look);
    // Type 8; identifier and checksum are the kernel's.
    sys.sendmsg(fd, { ...msgHdr(Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 1)), addr }, 0);
  }
  machine.exit();
  return { [Symbol.dispose]: end };
}

/** ARP requests of one probe. */
const PROBES = 2;

/**
 * Asks by ARP, as nobody yet, who has an address on the link of `dev`: `done(true)`: somebody has it, or wants it as we do;
 * `done(false)`: nobody answered two requests in `ms`. Shorter than RFC 5227 has it: a lease is no guess.
 */
export function arpProbe(
  net: Net,
  dev: NetDevice,
  addr: number,
  ms: number,
  done: (used: boolean) => void,
): Disposable {
  const sys = net.get(SYSCALL);
  const { machine } = net;
  const fd = ms > 0 ? sys.socket(AF_PACKET, SOCK_DGRAM, 0) : -1;
  let left = PROBES;
  let open = true;
  const end = (): void => {
    open = false;
    machine.hrtimers.cancel(timer);
    if (fd < 0) return;
    sys.onReady(fd, null);
    sys.close(fd);
  };
  const say = (used: boolean): void => {
    if (!open) return;
    end();
    done(used);
  };
  const timer = new HrTimer(() => {
    if (left === 0 || fd < 0) return say(false);
    left--;
    const ll = { ifindex: dev.ifindex, protocol: ETH_P_ARP, hatype: 1, pkttype: 0, addrHi: 0xffff, addrLo: -1 };
    machine.hrtimers.start(timer, machine.now + ms * 1e6 / PROBES);
    sys.sendmsg(fd, { ...msgHdr(arpRequest(dev, addr)), ll }, 0);
  });
  const from: SockaddrLl = { ifindex: 0, protocol: 0, hatype: 0, pkttype: 0, addrHi: 0, addrLo: 0 };
  const rx = { ...msgHdr(new Uint8Array(64)), ll: from };
  const look = (): void => {
    while (open) {
      rx.len = rx.buf.length;
      const n = sys.recvmsg(fd, rx, 0);
      if (n < 0) return;
      if (n >= ARP_LEN && claims(rx.buf, addr, dev)) return say(true);
    }
  };
  if (fd >= 0) {
    sys.bind(fd, dev.ifindex, ETH_P_ARP);
    sys.onReady(fd, look);
  }
  machine.enter();
  machine.hrtimers.start(timer, machine.now);
  machine.exit();
  return { [Symbol.dispose]: end };
}

/** Ethernet and IPv4, request, from our hardware address and 0.0.0.0. */
function arpRequest(dev: NetDevice, addr: number): Uint8Array {
  const bytes = new Uint8Array(ARP_LEN);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 1);
  view.setUint16(2, 0x0800);
  view.setUint16(4, 0x0604);
  view.setUint16(6, 1);
  view.setUint16(8, dev.addrHi);
  view.setInt32(10, dev.addrLo);
  view.setInt32(24, addr);
  return bytes;
}

/** Somebody else speaks for the address, or asks for it as nobody too. */
function claims(bytes: Uint8Array, addr: number, dev: NetDevice): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, ARP_LEN);
  if (view.getUint16(0) !== 1 || view.getUint16(2) !== 0x0800 || view.getUint16(4) !== 0x0604) return false;
  if (view.getUint16(8) === dev.addrHi && view.getInt32(10) === dev.addrLo) return false;
  const sender = view.getInt32(14);
  return sender === addr || (sender === 0 && view.getUint16(6) === 1 && view.getInt32(24) === addr);
}
