/** Every standard plugin is replaced by a fresh one of its kind in a host that is working, and the host works on. */
import { assertEquals } from "@std/assert";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { msgHdr } from "../../plugins/transport/sock/mod.ts";
import { standardPlugins } from "../../mod.ts";
import { twoHosts, udpSocket } from "../support/hosts.ts";

const IP_A = needIp("10.0.0.1", "address");
const IP_B = needIp("10.0.0.2", "address");

for (const { name } of standardPlugins()) {
  Deno.test(`swap of ${name} in a working host: routes, neighbours and sockets stay, datagrams go both ways`, () => {
    using t = twoHosts();
    const one = udpSocket(t.a, 5000, { addr: IP_B, port: 7 });
    const two = udpSocket(t.b, 7, { addr: IP_A, port: 5000 });
    const trip = (from: typeof t.a, fd: number, to: typeof t.a, into: number, n: number): number => {
      assertEquals(from.sys.sendmsg(fd, msgHdr(new Uint8Array(n)), 0), n);
      t.machine.runUntilIdle(1e9);
      return to.sys.recvmsg(into, msgHdr(new Uint8Array(5000)), 0);
    };
    const both = (n: number) => [trip(t.a, one, t.b, two, n), trip(t.b, two, t.a, one, n)];
    assertEquals(both(100), [100, 100]);
    for (let round = 0; round < 3; round++) {
      t.b.net.swap(name, standardPlugins().find((p) => p.name === name)!);
      assertEquals(both(101 + round), [101 + round, 101 + round]);
      assertEquals(both(4000), [4000, 4000]);
      // A closed port: the ICMP error comes back and names it.
      const fd = udpSocket(t.a, 0, { addr: IP_B, port: 9 });
      assertEquals(t.a.sys.sendmsg(fd, msgHdr(new Uint8Array(1)), 0), 1);
      t.machine.runUntilIdle(1e9);
      assertEquals(t.a.sys.getsockopt(fd, 1, 4), 111);
      t.a.sys.close(fd);
    }
    // A new address, a new socket, a new route: the new plugin's own work.
    t.b.addr.add("eth0", "10.9.0.1/24");
    t.a.addr.add("eth0", "10.9.0.2/24");
    const fresh = udpSocket(t.b, 8);
    const tx = udpSocket(t.a, 0, { addr: needIp("10.9.0.1", "address"), port: 8 });
    assertEquals(trip(t.a, tx, t.b, fresh, 64), 64);
    assertEquals(t.b.net.plugins.map((p) => p.name).filter((n) => n === name), [name]);
  });
}
