/**
 * The driver as a plugin, and its ops record.
 *
 * @module
 */
import type { Plugin } from "../../../core/mod.ts";
import type { NicOptions } from "./contract.ts";
import { checkNic, makeNic, nicOps } from "./state.ts";

/**
 * A NIC as a plugin, so that its driver can be swapped while packets flow: `net.swap("nic-eth0", nicDevice("eth0",
 * ...))`. The device, its address and its wire stay; the new driver brings its own rings, moderation and offloads.
 * What the old rings held is dropped and counted in {@linkcode NicCounters.lost}.
 */
export function nicDevice(name: string, options: NicOptions = {}): Plugin {
  return {
    name: `nic-${name}`,
    api: 1,
    setup(net) {
      // Sizes are checked here: the commit of a swap must not fail.
      checkNic(net.machine, options);
      const self = net.state(`nic:${name}`, () => makeNic(net, name, options));
      net.registration(() => {
        const ops = nicOps(self);
        self.dev.driver = ops;
        self.dev.restack();
        self.attach(options);
        return () => {
          if (self.dev.driver === ops) self.detach();
        };
      });
    },
  };
}
