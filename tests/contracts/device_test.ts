/** The device contract over the devices that need no kernel. */
import { devAddPack, type Net, type NetDevice } from "../../core/mod.ts";
import { channel } from "../../plugins/device/channel/mod.ts";
import { loopback } from "../../plugins/device/loopback/mod.ts";
import { nic, wire } from "../../plugins/device/nic/mod.ts";
import { vethPair } from "../../plugins/device/veth/mod.ts";
import { bareNet, bytesOf, debugMachine, packet, TEST_TYPE } from "./device_support.ts";
import { type DeviceFixture, deviceSuite } from "./device_suite.ts";
import { devQueueXmit } from "../../core/mod.ts";

/** What a net receives: frames with or without their link header. */
function collect(net: Net, withHeader: boolean): () => Uint8Array[] {
  let list: Uint8Array[] = [];
  devAddPack(net, {
    type: TEST_TYPE,
    dev: null,
    func: (skb) => {
      if (withHeader) skb.push(14);
      list.push(bytesOf(skb));
      skb.consume();
    },
  });
  return () => {
    const out = list;
    list = [];
    return out;
  };
}

/** Two nets of one machine, a device in each. */
function twoNets(a: NetDevice, b: NetDevice): DeviceFixture {
  b.open();
  const machine = a.net.machine;
  return {
    machine,
    net: a.net,
    dev: a,
    peer: [b.addrHi, b.addrLo],
    settle: () => machine.runUntilIdle(),
    received: collect(b.net, true),
    delivered: collect(a.net, false),
    deliver(frame) {
      const skb = packet(b.net, [a.addrHi, a.addrLo], frame.slice(14));
      skb.dev = b;
      machine.enter();
      devQueueXmit(skb);
      machine.exit();
    },
    close() {},
  };
}

deviceSuite("nic", () => {
  const machine = debugMachine();
  const cable = wire(machine);
  const a = nic(bareNet(machine), "eth0", { wire: cable });
  const b = nic(bareNet(machine), "eth0", { wire: cable });
  return twoNets(a.dev, b.dev);
});

deviceSuite("nic with offloads", () => {
  const machine = debugMachine();
  const cable = wire(machine);
  const offloads = { gso: true, rxCsum: true, gro: true };
  const a = nic(bareNet(machine), "eth0", { wire: cable, offloads });
  const b = nic(bareNet(machine), "eth0", { wire: cable, offloads });
  return twoNets(a.dev, b.dev);
});

deviceSuite("nic with rings of 8", () => {
  const machine = debugMachine();
  const cable = wire(machine);
  const a = nic(bareNet(machine), "eth0", { wire: cable, rxRing: 8, txRing: 8, txQueueLen: 0 });
  const b = nic(bareNet(machine), "eth0", { wire: cable, rxRing: 512 });
  return twoNets(a.dev, b.dev);
});

deviceSuite("veth", () => {
  const machine = debugMachine();
  const pair = vethPair(bareNet(machine), "veth0", bareNet(machine), "veth1");
  return twoNets(pair.a, pair.b);
});

deviceSuite("channel", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  const ch = channel(net, "ch0");
  return {
    machine,
    net,
    dev: ch.dev,
    peer: [0x0200, 0x77],
    settle: () => machine.runUntilIdle(),
    received: () => ch.readAll(),
    delivered: collect(net, false),
    deliver: (frame) => void ch.inject(frame),
    close() {},
  };
});

deviceSuite("loopback", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  const dev = loopback(net);
  dev.close();
  dev.stats.txPackets = 0;
  const mine = collect(net, true);
  let all: Uint8Array[] = [];
  const take = (): Uint8Array[] => {
    const out = [...all, ...mine()];
    all = [];
    return out;
  };
  return {
    machine,
    net,
    dev,
    peer: [0, 0],
    settle: () => machine.runUntilIdle(),
    received: take,
    delivered: () => take().map((frame) => frame.slice(14)),
    deliver(frame) {
      const skb = packet(net, [0, 0], frame.slice(14));
      skb.dev = dev;
      machine.enter();
      devQueueXmit(skb);
      machine.exit();
    },
    close() {},
  };
});
