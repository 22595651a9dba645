/** The world that fuzzed frames come from. */
import type { Addresses } from "../support/frames/generate.ts";

/** The host under test, and what the generator knows of it. */
export const ADDRESSES: {
  mac: string;
  ip: string;
  gateway: string;
  open: readonly number[];
  frames: Addresses;
} = {
  mac: "02:00:00:00:00:01",
  ip: "10.9.0.1",
  gateway: "10.9.0.254",
  open: [7, 9, 5000],
  frames: {
    mac: "02:00:00:00:00:01",
    own: ["10.9.0.1"],
    broadcast: "10.9.0.255",
    network: "10.9.0.0",
    peers: [
      { ip: "10.9.0.2", mac: "02:00:00:00:00:02" },
      { ip: "10.9.0.3", mac: "02:00:00:00:00:03" },
    ],
    gateway: { ip: "10.9.0.254", mac: "02:00:00:00:00:fe" },
    strangers: ["10.9.0.77"],
    far: ["192.0.2.1", "198.51.100.7"],
    beyond: ["203.0.113.5"],
    open: [7, 9, 5000],
    connected: [{ port: 6000, peer: "10.9.0.2", peerPort: 6001 }],
    maxFrame: 1514,
  },
};
