/** What the probes share: the addresses of the scenarios, and how a step is made. */

import { type BytesLike, eth, icmpEcho, ipv4, type Ipv4Fields } from "../support/frames/build.ts";
import type { Step } from "./scenario.ts";

/** MAC of the host under test. */
export const HOST_MAC = "02:00:00:00:09:01";

/** MAC of 10.9.0.n. */
export function macOf(n: number): string {
  return `02:00:00:00:09:${n.toString(16).padStart(2, "0")}`;
}

/** From 10.9.0.2 to 10.9.0.1. */
export const HOSTS = { src: "10.9.0.2", dst: "10.9.0.1" };

/** The link header of {@linkcode HOSTS}. */
export const LINK = { dst: HOST_MAC, src: macOf(2) };

/** An echo request with eight bytes. */
export function echo(): Uint8Array {
  return icmpEcho({ id: 1, seq: 1 }, "abcdefgh");
}

/** An IPv4 frame from 10.9.0.2 to 10.9.0.1, with the given fields changed; an echo request unless a payload is given. */
export function ip(fields: Partial<Ipv4Fields>, payload: BytesLike = echo()): Uint8Array {
  return eth(LINK, ipv4({ ...HOSTS, ...fields }, payload));
}

/** Collects the steps of one class. */
export class Probes {
  readonly steps: Step[] = [];
  #class: string;

  constructor(name: string) {
    this.#class = name;
  }

  /** Adds a frame on the first device, or another. */
  add(note: string, bytes: Uint8Array, dev = 0): void {
    this.steps.push({ kind: "frame", dev, bytes, note: `${this.#class}: ${note}` });
  }

  /** Lets time pass. */
  wait(ms: number): void {
    this.steps.push({ kind: "wait", ms, note: `${this.#class}: ${ms} ms later` });
  }
}
