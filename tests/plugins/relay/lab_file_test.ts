/** A lab file behind the relay: beside a router, on a switch, and what cannot be joined. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createHost, type Host } from "../../../mod.ts";
import { portLink, streamDevice } from "../../../plugins/device/stream/mod.ts";
import { LabFileError } from "../../../plugins/lab/mod.ts";
import { type Relay, relayLab } from "../../../plugins/lab/relay/mod.ts";
import { dhcpClient, leased } from "../../../plugins/socket/dhcp/mod.ts";
import { lookup, resolver } from "../../../plugins/socket/dns/mod.ts";

const BASE = new URL(import.meta.url);

const ROUTED = `
hosts:
  router: { forwarding: true, nics: { eth0: { addresses: [192.168.1.1/24] }, eth1: { addresses: [192.168.2.1/24] } } }
  left: { nics: { eth0: { addresses: [192.168.1.2/24] } }, routes: [{ to: default, via: 192.168.1.1 }] }
  right: { nics: { eth0: { addresses: [192.168.2.2/24] } }, routes: [{ to: default, via: 192.168.2.1 }] }
links:
  - [left:eth0, router:eth0]
  - { endpoints: [router:eth1, right:eth0], delay: 20ms }
`;

const SWITCHED = `
hosts:
  a: { nics: { eth0: { addresses: [172.16.5.1/28] } } }
  z: { nics: { eth0: { addresses: [172.16.5.14/28] } } }
switches:
  sw: { ports: [a:eth0, z:eth0] }
`;

/** A guest on the relay's machine, with a lease. */
async function guest(relay: Relay): Promise<{ host: Host; address: string } & AsyncDisposable> {
  const host = createHost({
    machine: relay.machine,
    name: "guest",
    plugins: [dhcpClient({ dev: "eth0", probe: 0 }), resolver()],
  });
  const { port1, port2 } = new MessageChannel();
  relay.join(portLink(port1));
  const device = streamDevice(host.net, "eth0", portLink(port2));
  const { address } = await leased(host.net, "eth0");
  return {
    host,
    address,
    async [Symbol.asyncDispose]() {
      await device[Symbol.asyncDispose]();
      host.net[Symbol.dispose]();
    },
  };
}

Deno.test("a lab with a router: a guest reaches its hosts by name, over its links, and they reach the guest", async () => {
  await using made = await relayLab("lab.yaml", ROUTED, BASE);
  await using one = await guest(made.relay);
  const names = await Promise.all(["left", "right", "router"].map((name) => lookup(one.host.net, `${name}.lab`)));
  assertEquals(names, ["192.168.1.2", "192.168.2.2", "192.168.1.1"]);
  const { ttl, timeNs } = await one.host.ping("192.168.2.2");
  // The relay and the lab's router; the link's 20 ms each way are real ones.
  assertEquals(ttl, 62);
  assert(timeNs >= 40e6 && timeNs < 1e9, `${timeNs} ns`);
  const left = made.lab.host("left");
  const listener = left.listen({ port: 80 });
  const conn = await one.host.connect({ hostname: "192.168.1.2", port: 80 });
  const served = await listener.accept();
  assertEquals((served.remoteAddr as Deno.NetAddr).hostname, one.address);
  for (const end of [conn, served, listener]) end.close();
  assertEquals((await left.ping(one.address)).ttl, 62);
});

Deno.test("a lab with a switch: the relay takes the last free address there, and the hosts learn the way back", async () => {
  await using made = await relayLab("lab.yaml", SWITCHED, BASE, { guests: "10.9.0.1/24" });
  assertEquals(made.relay.router.addr.list("eth1"), ["172.16.5.13/28"]);
  await using one = await guest(made.relay);
  assertEquals((await one.host.ping(await lookup(one.host.net, "z.lab"))).ttl, 63);
  assertEquals((await made.lab.host("a").ping(one.address)).ttl, 63);
});

Deno.test("applications of the lab start, and are told when it ends", async () => {
  const app = `export default (host, { signal, options }) => new Promise((end) => {
    globalThis[options.key] = "on";
    signal.addEventListener("abort", () => { globalThis[options.key] = "told"; end(); });
  });`;
  const file = SWITCHED.replace(
    "/28] } } }",
    `/28] } }, apps: [{ app: "data:text/javascript,${encodeURIComponent(app)}", options: { key: relayApp } }] }`,
  );
  const seen = (): unknown => (globalThis as Record<string, unknown>).relayApp;
  {
    await using made = await relayLab("lab.yaml", file, BASE);
    assertEquals([seen(), made.apps.errors], ["on", []]);
  }
  assertEquals(seen(), "told");
});

Deno.test("what cannot be joined is said", async () => {
  const bad = async (text: string, at: string | undefined, why: string): Promise<void> => {
    const error = await assertRejects(
      async () => await relayLab("lab.yaml", text, BASE, at === undefined ? {} : { at }),
      TypeError,
    );
    assert(error.message.includes(why), error.message);
  };
  await bad(ROUTED, "nowhere", "Cannot join the lab at nowhere: there are router, left, right");
  await bad("hosts: { a: , b: }\nlinks: [[a, b]]\n", undefined, "Cannot tell where to join the lab: name one of a, b");
  await bad(ROUTED.replaceAll("left", "relay"), undefined, "has a host or switch relay");
  await bad(
    "hosts: { a: { nics: { eth0: {} } } }\nswitches: { sw: { ports: [a:eth0] } }\n",
    "sw",
    "nobody has one there",
  );
  await assertRejects(() => relayLab("lab.yaml", "host: {}\n", BASE), LabFileError);
});
