// deno run examples/tiny_transport.ts
//
// A transport protocol of one's own, on the public contracts only: sockets of type SOCK_RDM (messages, reliable, one under way
// at a time), an eight-byte header, a number for each message, an ACK, retransmission from the kept original.
import { createHost, type Host, Machine, type Net, type Plugin } from "@netpath/stack";
import { csumFold, DROP, ERRNO, skbChecksum, type SkBuff, Timer } from "@netpath/stack/core";
import { FIB } from "@netpath/stack/fib";
import { INET, inetAddProtocol, needIp } from "@netpath/stack/inet";
import { type IpCork, IPV4, newIpCork } from "@netpath/stack/ipv4";
import { nic, wire } from "@netpath/stack/nic";
import * as sock from "@netpath/stack/sock";
import { msgHdr, type Sock } from "@netpath/stack/sock";

const IPPROTO_RDM = 253; // RFC 3692: for experiments
const SOCK_RDM = 4;
const HLEN = 8; // source and destination port, number, kind, checksum
const DATA = 0;
const ACK = 1;
const RTO = 200; // jiffies: ms
const [EAGAIN, EADDRINUSE, EDESTADDRREQ] = [-ERRNO.EAGAIN, -ERRNO.EADDRINUSE, -ERRNO.EDESTADDRREQ];

/** What a socket of ours has beside its Sock. */
interface Rdm {
  readonly cork: IpCork;
  readonly timer: Timer;
  /** The message that waits for its ACK: the original, of which clones are sent. */
  unacked: SkBuff | null;
  /** Number of the next message to send, and of the next to receive. */
  sent: number;
  expected: number;
}

class RdmState {
  readonly socks = new Map<number, Sock>();
  readonly net: Net;
  readonly site: number;
  readonly siteOut: number;
  retransmitted = 0;
  constructor(net: Net) {
    this.net = net;
    this.site = net.machine.ledger.site("rdm_sendmsg", "cpu");
    this.siteOut = net.machine.ledger.site("rdm_recvmsg", "cpu");
  }
}

const rdmSk = (sk: Sock): Rdm => sk.proto as Rdm;

function bind(st: RdmState, sk: Sock, port: number): number {
  if (st.socks.has(port)) return EADDRINUSE;
  st.socks.set(sk.sport = port, sk);
  return 0;
}

/** A header, then IP. Takes ownership of `skb`. */
function push(
  st: RdmState,
  skb: SkBuff,
  cork: IpCork,
  sport: number,
  dport: number,
  seq: number,
  kind: number,
): number {
  const at = skb.transportHeader;
  skb.view.setUint16(at, sport);
  skb.view.setUint16(at + 2, dport);
  skb.view.setUint8(at + 4, seq);
  skb.view.setUint8(at + 5, kind);
  skb.view.setUint16(at + 6, 0);
  skb.view.setUint16(at + 6, csumFold(skbChecksum(skb, 0, skb.len, 0)), true);
  return st.net.get(IPV4).sendSkb(skb, cork);
}

function transmit(st: RdmState, sk: Sock): void {
  const { unacked, cork, sent, timer } = rdmSk(sk);
  const twin = unacked?.clone() ?? null;
  st.net.machine.modTimer(timer, RTO);
  cork.dst = st.net.get(FIB).routeOutput(sk.daddr, 0, 0, 0);
  if (twin === null || cork.dst === null) return void twin?.consume();
  twin.dst = cork.dst;
  push(st, twin, cork, sk.sport, sk.dport, sent, DATA);
}

function sendmsg(st: RdmState, sk: Sock, msg: sock.MsgHdr): number {
  const rdm = rdmSk(sk);
  if (sk.daddr === 0) return EDESTADDRREQ;
  if (rdm.unacked !== null) return EAGAIN; // one at a time
  const { cork } = rdm;
  cork.daddr = sk.daddr;
  const err = sock.datagramRoute(sk, cork, st.net.get(FIB), st.net.get(INET).mib, true);
  if (err < 0) return err;
  [cork.buf, cork.off, cork.len] = [msg.buf, msg.off, msg.len];
  rdm.unacked = st.net.get(IPV4).makeSkb(cork); // the one copy in
  if (rdm.unacked === null) return cork.errno;
  transmit(st, sk);
  return msg.len;
}

/** Every packet with our number. Takes ownership of `skb`. */
function rcv(st: RdmState, skb: SkBuff): void {
  if (!skb.mayPull(HLEN)) return st.net.drop(skb, DROP.PKT_TOO_SMALL);
  if (csumFold(skbChecksum(skb, 0, skb.len, 0)) !== 0) return st.net.drop(skb, DROP.SKB_CSUM);
  const [view, at] = [skb.view, skb.data];
  const sk = st.socks.get(view.getUint16(at + 2));
  if (sk === undefined) return st.net.drop(skb, DROP.NO_SOCKET);
  const [rdm, seq] = [rdmSk(sk), view.getUint8(at + 4)];
  if (view.getUint8(at + 5) === ACK) {
    if (rdm.unacked !== null && seq === rdm.sent) { // the ACK frees the original
      rdm.unacked.consume();
      rdm.unacked = null;
      rdm.sent = (rdm.sent + 1) & 255;
      st.net.machine.delTimer(rdm.timer);
      sock.skWriteSpace(sk);
    }
    return skb.consume();
  }
  const peer = { addr: view.getInt32(skb.networkHeader + 12), port: view.getUint16(at) };
  skb.pull(HLEN);
  const fresh = seq === rdm.expected;
  if (fresh && sock.sockQueueRcvSkb(sk, skb) !== 0) return st.net.drop(skb, DROP.SOCKET_RCVBUFF); // no ACK: it comes again
  if (fresh) {
    rdm.expected = (seq + 1) & 255;
    sock.skDataReady(sk);
  } else skb.consume(); // its ACK was lost
  acknowledge(st, sk, peer, seq);
}

function acknowledge(st: RdmState, sk: Sock, peer: { addr: number; port: number }, seq: number): void {
  const cork = newIpCork(IPPROTO_RDM, HLEN, st.site);
  cork.daddr = peer.addr;
  cork.dst = st.net.get(FIB).routeOutput(peer.addr, 0, 0, 0);
  if (cork.dst === null) return;
  cork.saddr = cork.dst.prefsrc;
  const ack = st.net.get(IPV4).makeSkb(cork);
  if (ack !== null) push(st, ack, cork, sk.sport, peer.port, seq, ACK);
}

function recvmsg(st: RdmState, sk: Sock, msg: sock.MsgHdr): number {
  const skb = sk.receiveQueue.dequeue();
  if (skb === null) return EAGAIN;
  const n = Math.min(msg.len, skb.len);
  sock.skbCopyDatagramMsg(skb, 0, msg, n, st.siteOut); // the one copy out
  skb.consume();
  return n;
}

function rdm(): Plugin {
  return {
    name: "rdm",
    api: 1,
    requires: [INET, IPV4, FIB, sock.SOCK],
    setup(net) {
      const st = net.state("rdm", () => new RdmState(net));
      const no = (): number => -ERRNO.EOPNOTSUPP;
      inetAddProtocol(net, IPPROTO_RDM, { rcv: (skb) => rcv(st, skb), error() {} });
      const ops: sock.ProtoOps = {
        name: "RDM",
        init(sk) {
          const timer = new Timer(() => (st.retransmitted++, transmit(st, sk)));
          sk.proto = {
            cork: newIpCork(IPPROTO_RDM, HLEN, st.site),
            timer,
            unacked: null,
            sent: 0,
            expected: 0,
          } satisfies Rdm;
          return 0;
        },
        close(sk) {
          net.machine.delTimer(rdmSk(sk).timer);
          rdmSk(sk).unacked?.consume();
          rdmSk(sk).unacked = null;
          st.socks.delete(sk.sport);
        },
        bind: (sk, _addr, port) => bind(st, sk, port),
        connect: (sk, addr, port) => sock.datagramConnect(sk, net.get(FIB), net.get(INET).mib, addr, port),
        sendmsg: (sk, msg) => sendmsg(st, sk, msg),
        recvmsg: (sk, msg) => recvmsg(st, sk, msg),
        poll: (sk) => (sk.receiveQueue.qlen > 0 ? sock.POLLIN : 0) | (rdmSk(sk).unacked === null ? sock.POLLOUT : 0),
        disconnect: no,
        listen: no,
        accept: () => null,
        shutdown: no,
        setsockopt: no,
        getsockopt: no,
      };
      sock.sockRegister(net, { family: sock.AF_INET, type: SOCK_RDM, protocol: IPPROTO_RDM, ops });
    },
  };
}

using machine = new Machine({ seed: 3, debug: true, strict: true });
const cable = wire(machine, { delayNs: 5e6, loss: 0.2, duplicate: 0.1 });
const [a, b] = ["a", "b"].map((name) => createHost({ machine, name, plugins: [rdm()] }));
for (const [host, address] of [[a, "10.0.0.1/24"], [b, "10.0.0.2/24"]] as const) {
  nic(host.net, "eth0", { wire: cable });
  host.addr.add("eth0", address);
}
const socketOf = (host: Host, port: number): number => {
  const fd = host.sys.socket(sock.AF_INET, SOCK_RDM, 0);
  host.sys.bind(fd, 0, port);
  return fd;
};
const [from, to] = [socketOf(a, 1), socketOf(b, 2)];
a.sys.connect(from, needIp("10.0.0.2", "peer"), 2);

const got: string[] = [];
b.sys.onReady(to, () => {
  const msg = msgHdr(new Uint8Array(100));
  for (let n = b.sys.recvmsg(to, msg, 0); n >= 0; n = b.sys.recvmsg(to, msg, 0)) {
    got.push(new TextDecoder().decode(msg.buf.subarray(0, n)));
  }
});
let next = 0;
const sendNext = (): void => {
  while (next < 50 && a.sys.sendmsg(from, msgHdr(new TextEncoder().encode(`message ${next}`)), 0) > 0) next++;
};
a.sys.onReady(from, sendNext);
sendNext();
machine.runUntilIdle(60e9);

const inOrder = got.every((text, i) => text === `message ${i}`);
console.log(`${got.length} of 50 messages came, ${inOrder ? "in order, each once" : "in disorder"}`);
const { retransmitted } = a.net.state("rdm", () => new RdmState(a.net));
console.log(
  `${retransmitted} were sent again, from the original: ${machine.ledger.bytesAt("rdm_sendmsg")} bytes copied in`,
);
console.log(
  `${machine.ledger.bytesAt("rdm_recvmsg")} bytes copied out, in ${(machine.now / 1e9).toFixed(1)} s of virtual time`,
);
for (const [host, fd] of [[a, from], [b, to]] as const) host.sys.close(fd);
console.log(`closed: ${machine.skbs.live} packets are left`);
