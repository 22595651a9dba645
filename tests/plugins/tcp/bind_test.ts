/** Ports: who may have which beside whom, which bind(0) and connect() give, and when they are given back. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../core/mod.ts";
import { createHost, type Host } from "../../../mod.ts";
import {
  AF_INET,
  SO_BINDTODEVICE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import { TCP } from "../../../plugins/transport/tcp/mod.ts";
import { tcpSk } from "../../../plugins/transport/tcp/tcp_sock.ts";
import { TestMachine, twoHosts } from "../../support/hosts.ts";

const LO = 0x7f000001;
const ADDR: Record<string, number> = { "*": 0, "1": LO, "2": LO + 1 };

/**
 * What Linux 6.18.44 answers to bind() and then listen(). Of the first socket: state, address (any, 127.0.0.1, 127.0.0.2),
 * SO_REUSEADDR and SO_REUSEPORT; a column per address and options of the second. `b`: bind() gives EADDRINUSE, `l`:
 * listen() does, `0`: neither.
 */
const LINUX: Record<string, string> = {
  "bound * 00": "bbbbbbbbbbbb",
  "bound * 01": "b0b0b0b0b0b0",
  "bound * 10": "bb00bb00bb00",
  "bound * 11": "b000b000b000",
  "bound 1 00": "bbbbbbbb0000",
  "bound 1 01": "b0b0b0b00000",
  "bound 1 10": "bb00bb000000",
  "bound 1 11": "b000b0000000",
  "bound 2 00": "bbbb0000bbbb",
  "bound 2 01": "b0b00000b0b0",
  "bound 2 10": "bb000000bb00",
  "bound 2 11": "b0000000b000",
  "listen * 00": "bbbbbbbbbbbb",
  "listen * 01": "b0b0b0b0b0b0",
  "listen * 10": "bbbbbbbbbbbb",
  "listen * 11": "b0b0b0b0b0b0",
  "listen 1 00": "bbbbbbbb0000",
  "listen 1 01": "b0b0b0b00000",
  "listen 1 10": "bbbbbbbb0000",
  "listen 1 11": "b0b0b0b00000",
  "listen 2 00": "bbbb0000bbbb",
  "listen 2 01": "b0b00000b0b0",
  "listen 2 10": "bbbb0000bbbb",
  "listen 2 11": "b0b00000b0b0",
  "estab * 00": "bbbbbbbb0000",
  "estab * 01": "b0b0b0b00000",
  "estab * 10": "bb00bb000000",
  "estab * 11": "b000b0000000",
  "estab 1 00": "bbbbbbbb0000",
  "estab 1 01": "b0b0b0b00000",
  "estab 1 10": "bb00bb000000",
  "estab 1 11": "b000b0000000",
  "tw * 00": "bbbbbbbb0000",
  "tw * 01": "b0b0b0b00000",
  "tw * 10": "bb00bb000000",
  "tw * 11": "b000b0000000",
  "tw 1 00": "bbbbbbbb0000",
  "tw 1 01": "b0b0b0b00000",
  "tw 1 10": "bb00bb000000",
  "tw 1 11": "b000b0000000",
  "conn * 00": "bbbbbbbb0000",
  "conn * 01": "b0b0b0b00000",
  "conn * 10": "bb00bb000000",
  "conn * 11": "b000b0000000",
  "conn 1 00": "bbbbbbbb0000",
  "conn 1 01": "b0b0b0b00000",
  "conn 1 10": "bb00bb000000",
  "conn 1 11": "b000b0000000",
  "conn 2 00": "bbbb0000bbbb",
  "conn 2 01": "b0b00000b0b0",
  "conn 2 10": "bb000000bb00",
  "conn 2 11": "b0000000b000",
};

class Ports implements Disposable {
  readonly machine = new TestMachine();
  readonly host: Host = createHost({ machine: this.machine });
  readonly name = { addr: 0, port: 0 };

  socket(reuse = 0, reuseport = 0): number {
    const { sys } = this.host;
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    if (reuse === 1) sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (reuseport === 1) sys.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return fd;
  }

  bind(fd: number, addr: number, port: number): string {
    return errnoName(this.host.sys.bind(fd, addr, port));
  }

  portOf(fd: number): number {
    this.host.sys.getsockname(fd, this.name);
    return this.name.port;
  }

  /** The first socket in its state; what is to be closed after. */
  first(state: string, addr: number, reuse: number, reuseport: number, port: number): number[] {
    const { sys } = this.host;
    const fd = this.socket(reuse, reuseport);
    assertEquals(sys.bind(fd, addr, port), 0);
    if (state === "bound") return [fd];
    if (state === "conn") {
      const lis = this.socket(1);
      assertEquals([sys.bind(lis, LO, 0), sys.listen(lis, 1)], [0, 0]);
      sys.connect(fd, LO, this.portOf(lis));
      return [fd, lis];
    }
    assertEquals(sys.listen(fd, 1), 0);
    if (state === "listen") return [fd];
    const c = this.socket();
    sys.connect(c, LO, port);
    const a = sys.accept(fd);
    sys.close(fd);
    if (state === "estab") return [c, a];
    sys.close(a);
    sys.close(c);
    return [];
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}

Deno.test("two sockets and one port: 12 by 48 cases answer as Linux's", () => {
  using t = new Ports();
  const { sys } = t.host;
  let port = 2000;
  for (const [key, want] of Object.entries(LINUX)) {
    const [state, a1, flags] = key.split(" ");
    let got = "";
    for (const a2 of ["*", "1", "2"]) {
      for (const second of ["00", "01", "10", "11"]) {
        port++;
        const fds = t.first(state, ADDR[a1], Number(flags[0]), Number(flags[1]), port);
        const fd = t.socket(Number(second[0]), Number(second[1]));
        got += sys.bind(fd, ADDR[a2], port) < 0 ? "b" : sys.listen(fd, 1) < 0 ? "l" : "0";
        for (const f of [...fds, fd]) sys.close(f);
      }
    }
    assertEquals({ [key]: got }, { [key]: want });
  }
  t.machine.advance(200e9);
  const { listeners, bound, timeWait } = t.host.net.get(TCP).counts();
  assertEquals({ listeners, bound, timeWait }, { listeners: 0, bound: 0, timeWait: 0 });
});

Deno.test("several may bind with SO_REUSEADDR, but one listens", () => {
  using t = new Ports();
  const { sys } = t.host;
  const [a, b] = [t.socket(1), t.socket(1)];
  assertEquals([t.bind(a, 0, 80), t.bind(b, 0, 80)], [errnoName(0), errnoName(0)]);
  assertEquals(sys.listen(a, 1), 0);
  assertEquals(errnoName(sys.listen(b, 1)), "EADDRINUSE");
  // It keeps its port, and may listen when the other is gone.
  assertEquals(t.portOf(b), 80);
  sys.close(a);
  assertEquals(sys.listen(b, 1), 0);
});

Deno.test("sockets bound to different devices share a port", () => {
  using t = twoHosts({ neigh: true });
  const { sys } = t.a;
  const [eth0, lo] = [t.a.link.get("eth0").ifindex, t.a.link.get("lo").ifindex];
  const open = (dev: number): number => {
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    if (dev !== 0) assertEquals(sys.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, dev), 0);
    return sys.bind(fd, 0, 80);
  };
  assertEquals(open(eth0), 0);
  assertEquals(open(lo), 0);
  assertEquals(errnoName(open(lo)), "EADDRINUSE");
  assertEquals(errnoName(open(0)), "EADDRINUSE");
});

Deno.test("bind(0) gives free ports of the range: odd ones first, then even ones, then none", () => {
  using t = new Ports();
  const { host } = t;
  host.sysctl("net.ipv4.ip_local_port_range", [5000, 5007]);
  const ports: number[] = [];
  for (let i = 0; i < 8; i++) {
    const fd = t.socket();
    assertEquals(host.sys.bind(fd, 0, 0), 0);
    ports.push(t.portOf(fd));
  }
  assert(ports.slice(0, 4).every((p) => p % 2 === 1) && ports.slice(4).every((p) => p % 2 === 0), `${ports}`);
  assertEquals(ports.toSorted(), [5000, 5001, 5002, 5003, 5004, 5005, 5006, 5007]);
  assertEquals(t.bind(t.socket(), 0, 0), "EADDRINUSE");
  assertEquals(errnoName(host.sys.listen(t.socket(), 1)), "EADDRINUSE");
});

Deno.test("connect() gives even ports first, shares them among different peers, and none when all are in use", () => {
  using t = new Ports();
  const { host: { sys }, host } = t;
  host.sysctl("net.ipv4.ip_local_port_range", [5000, 5003]);
  const listeners = [80, 81].map((port) => {
    const fd = t.socket();
    assertEquals([sys.bind(fd, 0, port), sys.listen(fd, 16)], [0, 0]);
    return fd;
  });
  const ports = [80, 81].map((port) =>
    Array.from({ length: 4 }, () => {
      const fd = t.socket();
      assertEquals(errnoName(sys.connect(fd, LO, port)), "EINPROGRESS");
      return t.portOf(fd);
    })
  );
  for (const p of ports) {
    assert(p.slice(0, 2).every((n) => n % 2 === 0), `${p}`);
    assertEquals(p.toSorted(), [5000, 5001, 5002, 5003]);
  }
  const over = t.socket();
  assertEquals(errnoName(sys.connect(over, LO, 80)), "EADDRNOTAVAIL");
  // What failed left nothing: no port, no address; another peer is possible.
  assertEquals(tcpSk(sys.sock(over)!).bind, null);
  assertEquals(errnoName(sys.connect(over, LO, 82)), "EINPROGRESS");
  // A port that bind() gave is not shared by connect().
  sys.close(listeners[0]);
});

Deno.test("connect() from a bound port: the same four-tuple is in use once", () => {
  using t = new Ports();
  const { sys } = t.host;
  const lis = t.socket();
  assertEquals([sys.bind(lis, 0, 80), sys.listen(lis, 16)], [0, 0]);
  const [a, b] = [t.socket(1), t.socket(1)];
  assertEquals([sys.bind(a, LO, 5000), sys.bind(b, LO, 5000)], [0, 0]);
  assertEquals(errnoName(sys.connect(a, LO, 80)), "EINPROGRESS");
  assertEquals(errnoName(sys.connect(b, LO, 80)), "EADDRNOTAVAIL");
  // It keeps what the user chose.
  assertEquals(t.portOf(b), 5000);
  assertEquals(errnoName(sys.connect(b, LO + 1, 80)), "EINPROGRESS");
});

Deno.test("bind() takes addresses of this host only, and one port", () => {
  using t = new Ports();
  assertEquals(t.bind(t.socket(), 0x0a000001, 80), "EADDRNOTAVAIL");
  assertEquals(t.bind(t.socket(), 0, 65536), "EINVAL");
  assertEquals(t.bind(t.socket(), 0, -1), "EINVAL");
  const fd = t.socket();
  assertEquals([t.bind(fd, 0, 80), t.bind(fd, 0, 81)], [errnoName(0), "EINVAL"]);
});
