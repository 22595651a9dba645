/** Captures of broken packets, whole and cut at every length: nothing throws, nothing leaks, and the host still answers. */
import { assertEquals } from "@std/assert";
import { createHost } from "../../mod.ts";
import { LINKTYPE_ETHERNET, readPcap } from "../../plugins/device/pcap/mod.ts";
import { channel } from "../../plugins/device/channel/mod.ts";
import { decode, eth, icmpEcho, ipv4 } from "../support/frames/build.ts";
import { TestMachine } from "../support/hosts.ts";

const FOLDER = new URL("../../../shared/pcaps/", import.meta.url);

/** Frames of a capture; raw IP gets an Ethernet header. */
function framesOf(name: string): Uint8Array[] {
  const file = readPcap(Deno.readFileSync(new URL(name, FOLDER)));
  const link = { dst: "02:00:00:00:00:01", src: "02:00:00:00:00:02", type: 0x0800 };
  return file.frames.map((f) => file.linkType === LINKTYPE_ETHERNET ? f.bytes : eth(link, f.bytes));
}

function files(): string[] {
  try {
    return [...Deno.readDirSync(FOLDER)].map((e) => e.name).filter((n) => n.endsWith(".pcap")).sort();
  } catch {
    return [];
  }
}

const names = files();

Deno.test({
  name: "the pcap corpus and every truncation of its frames go in without a throw or a leak" +
    (names.length === 0 ? " [needs ../shared/pcaps]" : ""),
  ignore: names.length === 0,
  fn() {
    using machine = new TestMachine();
    const host = createHost({ machine, name: "h", forwarding: true });
    const ch = channel(host.net, "ch0", { address: "02:00:00:00:00:01", mtu: 9000 });
    host.addr.add("ch0", "10.0.0.1/24");
    host.route.add("default", { via: "10.0.0.254" });
    let frames = 0;
    for (const name of names) {
      for (const frame of framesOf(name)) {
        // To our own address too, so that it passes the address filter.
        const ours = frame.slice();
        ours.set([2, 0, 0, 0, 0, 1], 0);
        for (const f of [frame, ours]) {
          for (let n = 0; n <= f.length; n++) {
            ch.inject(f.subarray(0, n));
            frames++;
          }
        }
        while (ch.read() !== null);
      }
      machine.runUntilIdle(60e9);
      while (ch.read() !== null);
    }
    assertEquals(frames > 10_000, true);
    ch.inject(
      eth(
        { dst: "02:00:00:00:00:01", src: "02:00:00:00:00:99" },
        ipv4({ src: "10.0.0.99", dst: "10.0.0.1" }, icmpEcho({ id: 1, seq: 2 }, "alive")),
      ),
    );
    machine.runUntilIdle(1e9);
    let asked = false;
    for (let f = ch.read(); f !== null; f = ch.read()) if (decode(f).arp?.tpa === "10.0.0.99") asked = true;
    assertEquals(asked, true);
  },
});
