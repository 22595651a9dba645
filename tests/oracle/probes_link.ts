/** Probes of the link layer: EtherTypes, 802.3, VLAN tags, runts, giants. */

import { arp, BROADCAST_MAC, eth, ETH_P, icmpEcho, ipv4, llc, pattern, vlan } from "../support/frames/build.ts";
import { echo, HOST_MAC, HOSTS, ip, LINK, macOf, Probes } from "./probe_kit.ts";
import type { Step } from "./scenario.ts";

/** Ethernet. */
export function linkProbes(): Step[] {
  const probes = new Probes("probe link");
  const add = (note: string, bytes: Uint8Array) => probes.add(note, bytes);
  const packet = ipv4(HOSTS, echo());
  for (const length of [0, 1, 12, 13, 14, 15, 33, 34]) add(`${length} bytes`, ip({}).subarray(0, length));
  for (const type of [0x0601, 0x0805, 0x8035, 0x8137, 0x86dd, 0x8847, 0x8863, 0x888e, 0x88cc, 0x9000, 0xffff]) {
    add(`type 0x${type.toString(16)}`, eth({ ...LINK, type }, packet));
  }
  add("type 0x0806 around IP", eth({ ...LINK, type: ETH_P.ARP }, packet));
  add(
    "type 0x0800 around ARP",
    eth({ ...LINK, type: ETH_P.IP }, arp({ sha: macOf(2), spa: HOSTS.src, tpa: HOSTS.dst })),
  );
  add("802.3 SNAP IP", eth(LINK, llc({ snap: { type: 0x0800 } }, packet)));
  add("802.3 STP", eth({ ...LINK, dst: "01:80:c2:00:00:00" }, llc({}, pattern(35))));
  add("802.3 IPX raw", eth(LINK, llc({ dsap: 0xff, ssap: 0xff }, pattern(30))));
  add("802.3 length too long", eth({ ...LINK, type: 1500 }, llc({}, pattern(10))));
  add("802.3 length 0", eth({ ...LINK, type: 0 }, packet));
  for (const tpid of [0x8100, 0x88a8]) {
    for (const id of [0, 1, 4095]) {
      add(`tag 0x${tpid.toString(16)} id ${id}`, eth(LINK, vlan({ id, priority: 3, tpid }, packet)));
    }
  }
  add(
    "tag id 0 around ARP",
    eth({ ...LINK, dst: BROADCAST_MAC }, vlan({ id: 0 }, arp({ sha: macOf(2), spa: HOSTS.src, tpa: HOSTS.dst }))),
  );
  add("two tags, id 0 and 0", eth(LINK, vlan({ id: 0 }, vlan({ id: 0 }, packet))));
  add("two tags, id 0 and 5", eth(LINK, vlan({ id: 0 }, vlan({ id: 5 }, packet))));
  add("tag cut short", eth({ ...LINK, type: 0x8100 }, [0, 0, 8]));
  add("other destination", eth({ ...LINK, dst: macOf(77) }, packet));
  add("destination zero", eth({ ...LINK, dst: "00:00:00:00:00:00" }, packet));
  add("source the host's", eth({ ...LINK, src: HOST_MAC }, packet));
  add("source broadcast", eth({ ...LINK, src: BROADCAST_MAC }, packet));
  for (const length of [1514, 1515, 1600, 9000, 30000, 65535, 65549]) {
    add(`${length} bytes, full`, eth(LINK, ipv4(HOSTS, icmpEcho({ id: 1 }, pattern(length - 42)))));
    add(`${length} bytes, padding`, eth({ ...LINK, pad: length }, packet));
  }
  for (const length of [65550, 65600, 70000]) add(`${length} bytes, padding`, eth({ ...LINK, pad: length }, packet));
  return probes.steps;
}
