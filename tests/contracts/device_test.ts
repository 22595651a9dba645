/** The device contract over the devices that need no kernel. */
import { devQueueXmit } from "../../core/mod.ts";
import { channel } from "../../plugins/device/channel/mod.ts";
import { loopback } from "../../plugins/device/loopback/mod.ts";
import { nic, wire } from "../../plugins/device/nic/mod.ts";
import { vethPair } from "../../plugins/device/veth/mod.ts";
import { bareNet, collect, debugMachine, packet, twoNets } from "./device_support.ts";
import { deviceSuite } from "./device_suite.ts";

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
