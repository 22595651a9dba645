/**
 * What a plugin author may do wrong, or at another time than the stack expects: the machine lives on and names it.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { createHost, type Host, Machine } from "@netpath/stack";
import {
  DROP,
  NET_XMIT_SUCCESS,
  NETDEV_TX_BUSY,
  NETDEV_TX_OK,
  type NetDevice,
  netifTxWakeQueue,
  NOTIFY_BAD,
  type QdiscOps,
  SkbQueue,
} from "@netpath/stack/core";
import { nic, wire } from "@netpath/stack/nic";

const PEER = { transport: "udp", hostname: "10.0.0.2", port: 9 } as const;

function withDriver(startXmit: Parameters<Host["net"]["registerNetdev"]>[1]["startXmit"]): {
  machine: Machine;
  host: Host;
  dev: NetDevice;
} {
  const machine = new Machine({ seed: 1, debug: true });
  const host = createHost({ machine });
  const dev = host.net.registerNetdev("d0", { startXmit });
  host.addr.add("d0", "10.0.0.1/24");
  host.neigh.set("d0", "10.0.0.2", "02:00:00:00:00:02");
  return { machine, host, dev };
}

Deno.test("a driver that wakes its queue from a turn of its own is heard", async () => {
  let room = 2;
  const sent: number[] = [];
  const { machine, host, dev } = withDriver((skb) => {
    if (room === 0) return NETDEV_TX_BUSY;
    room--;
    sent.push(skb.len - 42);
    skb.consume();
    return NETDEV_TX_OK;
  });
  {
    using s = host.listenDatagram({ port: 1 });
    for (let n = 1; n <= 6; n++) await s.send(new Uint8Array(n), PEER);
  }
  assertEquals(sent, [1, 2]);
  room = 100;
  assertEquals(machine.depth, 0);
  netifTxWakeQueue(dev.txq[0]); // no entry of the machine is open, and none follows
  for (let i = 0; i < 50 && sent.length < 6; i++) await new Promise((r) => setTimeout(r, 1));
  assertEquals(sent, [1, 2, 3, 4, 5, 6]);
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});

function simple(broken: string): QdiscOps {
  const boom = (name: string): void => {
    if (name === broken) throw new Error(`boom in ${name}`);
  };
  return {
    name: "simple",
    canBypass: false,
    init(q) {
      q.priv = new SkbQueue();
      return true;
    },
    enqueue(skb, q) {
      boom("enqueue");
      (q.priv as SkbQueue).enqueue(skb);
      q.qlen++;
      return NET_XMIT_SUCCESS;
    },
    dequeue(q) {
      boom("dequeue");
      const skb = (q.priv as SkbQueue).dequeue();
      if (skb !== null) q.qlen--;
      return skb;
    },
    reset(q) {
      const queue = q.priv as SkbQueue;
      let n = 0;
      for (let skb = queue.dequeue(); skb !== null; skb = queue.dequeue(), n++) q.dev.net.drop(skb, DROP.QUEUE_PURGE);
      q.qlen = 0;
      boom("reset");
      return n;
    },
  };
}

for (const broken of ["enqueue", "dequeue", "reset"]) {
  Deno.test(`a qdisc whose ${broken} throws is named, and the machine goes on`, async () => {
    let sent = 0;
    const { machine, host, dev } = withDriver((skb) => {
      sent++;
      skb.consume();
      return NETDEV_TX_OK;
    });
    host.net.registerQdisc(simple(broken));
    host.net.setQdisc(dev, "simple");
    using s = host.listenDatagram({ port: 1 });
    await s.send(new Uint8Array(9), PEER).catch(() => {});
    assertEquals(machine.depth, 0);
    host.net.setQdisc(dev, "pfifo_fast");
    const before = sent;
    await s.send(new Uint8Array(9), PEER);
    assertEquals(sent, before + 1);
    assertEquals(host.net.pluginErrors[0].who, "qdisc simple of d0");
    machine[Symbol.dispose]();
    assertEquals(machine.skbs.faults(), []);
  });
}

for (const slot of ["ingress", "rxHandler"] as const) {
  Deno.test(`a throw of dev.${slot} costs its packet, not the NIC`, async () => {
    const machine = new Machine({ seed: 1, debug: true });
    const cable = wire(machine);
    const [a, b] = ["10.0.0.1/24", "10.0.0.2/24"].map((cidr) => {
      const host = createHost({ machine });
      nic(host.net, "eth0", { wire: cable });
      host.addr.add("eth0", cidr);
      return host;
    });
    const dev = b.link.get("eth0");
    await a.ping("10.0.0.2");
    dev[slot] = () => {
      throw new Error("boom");
    };
    let lost = false;
    await a.ping("10.0.0.2", { timeout: 50 }).catch(() => lost = true);
    assertEquals(lost, true);
    dev[slot] = null;
    assertEquals((await a.ping("10.0.0.2")).seq, 1);
    assertEquals(b.net.dropTable(), { PLUGIN_ERROR: 1 });
    machine[Symbol.dispose]();
    assertEquals(machine.skbs.faults(), []);
  });
}

Deno.test("a notifier that refuses is an error for who registers; one that throws is named", () => {
  using machine = new Machine({ seed: 1 });
  const { net, link } = createHost({ machine });
  const broken = net.netdevChain.register(() => {
    throw new Error("boom");
  });
  net.registerNetdev("ok0", { startXmit: () => NETDEV_TX_OK });
  assertEquals(net.pluginErrors[0].who, "a notifier, at NETDEV_REGISTER of ok0,");
  broken[Symbol.dispose]();
  net.netdevChain.register((e) => e.kind === "NETDEV_PRE_UP" ? NOTIFY_BAD : 0);
  assertThrows(
    () => net.registerNetdev("no0", { startXmit: () => NETDEV_TX_OK }),
    Error,
    "Cannot bring no0 up: operation not permitted",
  );
  assertEquals(net.device("no0"), undefined);
  link.down("ok0");
  assertThrows(() => link.up("ok0"), Error, "Cannot bring ok0 up: operation not permitted (a notifier");
});
