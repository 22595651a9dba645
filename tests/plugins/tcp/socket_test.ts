/** Every call in every state: what it gives, what poll() and SO_ERROR say after it. Linux's own answers are in errnos.json. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../core/mod.ts";
import { createHost, type Host } from "../../../mod.ts";
import {
  AF_INET,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  msgHdr,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_ACCEPTCONN,
  SO_ERROR,
  SO_LINGER,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import * as tcp from "../../../plugins/transport/tcp/mod.ts";
import { SOL_TCP, TCP } from "../../../plugins/transport/tcp/mod.ts";
import { TestMachine } from "../../support/hosts.ts";
import LINUX from "./errnos.json" with { type: "json" };

const LO = 0x7f000001;
const MS = 1e6;

/** A machine with one host; sockets over its loopback. */
class Bench implements Disposable {
  readonly machine: TestMachine = new TestMachine();
  readonly host: Host = createHost({ machine: this.machine });
  readonly name = { addr: 0, port: 0 };
  #port = 1000;

  get sys(): Host["sys"] {
    return this.host.sys;
  }

  socket(): number {
    return this.sys.socket(AF_INET, SOCK_STREAM, 0);
  }

  bound(): number {
    const fd = this.socket();
    assertEquals(this.sys.bind(fd, LO, 0), 0);
    return fd;
  }

  listener(): number {
    const fd = this.bound();
    assertEquals(this.sys.listen(fd, 4), 0);
    return fd;
  }

  portOf(fd: number): number {
    this.sys.getsockname(fd, this.name);
    return this.name.port;
  }

  /** Two connected sockets: who connected, who accepted. connect() has told its success. */
  pair(): { c: number; a: number } {
    const lis = this.listener();
    const c = this.socket();
    const port = this.portOf(lis);
    assertEquals(errnoName(this.sys.connect(c, LO, port)), "EINPROGRESS");
    assertEquals(this.sys.connect(c, LO, port), 0);
    const a = this.sys.accept(lis);
    assert(a > 0);
    this.sys.close(lis);
    return { c, a };
  }

  send(fd: number, n: number, flags = 0): number {
    return this.sys.sendmsg(fd, msgHdr(new Uint8Array(n).fill(120)), flags);
  }

  recv(fd: number, n: number, flags = 0): number {
    return this.sys.recvmsg(fd, msgHdr(new Uint8Array(n)), flags);
  }

  abort(fd: number): void {
    this.sys.setsockopt(fd, SOL_SOCKET, SO_LINGER, 1, 0);
    this.sys.close(fd);
  }

  state(fd: number): number {
    return this.host.net.get(TCP).info(this.sys.sock(fd)!).tcpi_state;
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}

const STATES: Record<string, (b: Bench) => number> = {
  close: (b) => b.socket(),
  bound: (b) => b.bound(),
  listen: (b) => b.listener(),
  synsent: (b) => {
    // A neighbour that does not answer.
    b.host.net.registerNetdev("d0", { startXmit: (skb) => (skb.consume(), 0) }, { type: 0xfffe, flags: 0x80 });
    b.host.addr.add("d0", "10.77.0.1/24");
    const fd = b.socket();
    assertEquals(errnoName(b.sys.connect(fd, 0x0a4d0002, 9)), "EINPROGRESS");
    return fd;
  },
  estab: (b) => b.pair().c,
  estab_data: (b) => {
    const { c, a } = b.pair();
    b.send(a, 10);
    return c;
  },
  closewait: (b) => {
    const { c, a } = b.pair();
    b.sys.shutdown(a, SHUT_WR);
    return c;
  },
  finwait2: (b) => {
    const { c } = b.pair();
    b.sys.shutdown(c, SHUT_WR);
    b.machine.advance(50 * MS);
    return c;
  },
  timewait: (b) => {
    const { c, a } = b.pair();
    b.sys.shutdown(c, SHUT_WR);
    b.machine.advance(50 * MS);
    b.sys.close(a);
    return c;
  },
  lastack_closed: (b) => {
    const { c, a } = b.pair();
    b.sys.shutdown(a, SHUT_WR);
    b.sys.shutdown(c, SHUT_WR);
    b.machine.advance(50 * MS);
    return c;
  },
  rdshut: (b) => {
    const { c } = b.pair();
    b.sys.shutdown(c, SHUT_RD);
    return c;
  },
  reset: (b) => {
    const { c, a } = b.pair();
    b.abort(a);
    return c;
  },
  reset_read: (b) => {
    const { c, a } = b.pair();
    b.abort(a);
    assertEquals(errnoName(b.recv(c, 10)), "ECONNRESET");
    return c;
  },
  reset_after_fin: (b) => {
    const { c, a } = b.pair();
    b.sys.close(a);
    assertEquals(b.send(c, 1), 1);
    return c;
  },
  refused: (b) => {
    const fd = b.socket();
    b.sys.connect(fd, LO, b.portOf(b.bound()));
    return fd;
  },
  refused_told: (b) => {
    const fd = STATES.refused(b);
    assertEquals(b.sys.getsockopt(fd, SOL_SOCKET, SO_ERROR), 111);
    return fd;
  },
  connected_untold: (b) => {
    const fd = b.socket();
    assertEquals(errnoName(b.sys.connect(fd, LO, b.portOf(b.listener()))), "EINPROGRESS");
    return fd;
  },
};

const CALLS: Record<string, (b: Bench, fd: number) => number> = {
  bind: (b, fd) => b.sys.bind(fd, LO, 0),
  listen: (b, fd) => b.sys.listen(fd, 3),
  accept: (b, fd) => b.sys.accept(fd),
  connect: (b, fd) => b.sys.connect(fd, LO, b.portOf(b.listener())),
  disconnect: (b, fd) => b.sys.disconnect(fd),
  send: (b, fd) => b.send(fd, 5),
  send0: (b, fd) => b.send(fd, 0),
  oob: (b, fd) => b.send(fd, 1, MSG_OOB),
  recv: (b, fd) => b.recv(fd, 100),
  recv0: (b, fd) => b.recv(fd, 0),
  recvwaitall: (b, fd) => b.recv(fd, 100, MSG_WAITALL | MSG_DONTWAIT),
  trunc: (b, fd) => Math.min(0, b.recv(fd, 100, MSG_TRUNC)),
  peek: (b, fd) => b.recv(fd, 100, MSG_PEEK),
  recvoob: (b, fd) => b.recv(fd, 1, MSG_OOB),
  errqueue: (b, fd) => b.recv(fd, 100, MSG_ERRQUEUE),
  shutrd: (b, fd) => b.sys.shutdown(fd, SHUT_RD),
  shutwr: (b, fd) => b.sys.shutdown(fd, SHUT_WR),
  shutrdwr: (b, fd) => b.sys.shutdown(fd, SHUT_RDWR),
  shutbad: (b, fd) => b.sys.shutdown(fd, 3),
  getpeername: (b, fd) => b.sys.getpeername(fd, b.name),
  getsockname: (b, fd) => {
    b.sys.getsockname(fd, b.name);
    return (b.name.addr === 0 ? 0 : 2) + (b.name.port === 0 ? 0 : 1);
  },
  soerror: (b, fd) => b.sys.getsockopt(fd, SOL_SOCKET, SO_ERROR),
  acceptconn: (b, fd) => b.sys.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN),
  poll: (b, fd) => b.sys.poll(fd),
  keepidle0: (b, fd) => b.sys.setsockopt(fd, SOL_TCP, tcp.TCP_KEEPIDLE, 0),
  maxseg: (b, fd) => b.sys.setsockopt(fd, SOL_TCP, tcp.TCP_MAXSEG, 10),
  getlevel: (b, fd) => b.sys.getsockopt(fd, 99, 1),
  setlevel: (b, fd) => b.sys.setsockopt(fd, 99, 1, 1),
  getopt: (b, fd) => b.sys.getsockopt(fd, SOL_TCP, 99),
  setopt: (b, fd) => b.sys.setsockopt(fd, SOL_TCP, 99, 1),
  nocc: (b, fd) => b.sys.setsockopt(fd, SOL_TCP, tcp.TCP_CONGESTION, "nosuch"),
  windowclamp0: (b, fd) => b.sys.setsockopt(fd, SOL_TCP, tcp.TCP_WINDOW_CLAMP, 0),
  fastopen: (b, fd) => b.sys.setsockopt(fd, SOL_TCP, tcp.TCP_FASTOPEN, 5),
};

for (const [state, row] of Object.entries(LINUX.states)) {
  Deno.test(`in state "${state}" every call answers as Linux's`, () => {
    const got: Record<string, string> = {};
    const want: Record<string, string> = {};
    LINUX.calls.forEach((call, i) => {
      using b = new Bench();
      const fd = STATES[state](b);
      const result = CALLS[call](b, fd);
      const said = result < 0 ? errnoName(result) : result;
      const poll = b.sys.poll(fd);
      got[call] = `${said}/${poll}/${b.sys.getsockopt(fd, SOL_SOCKET, SO_ERROR)}/${b.state(fd)}`;
      want[call] = row[i];
    });
    assertEquals(got, want);
  });
}
