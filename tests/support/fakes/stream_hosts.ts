/** Two nets with stream sockets that need no TCP: `10.0.0.1` and `10.0.0.2`. */
import type { Net } from "../../../core/mod.ts";
import { FakeStreams } from "./streams.ts";
import { TestMachine } from "../hosts.ts";

/** See above. */
export class FakeHosts {
  readonly machine: TestMachine = new TestMachine();
  readonly streams: FakeStreams;
  readonly a: Net;
  readonly b: Net;

  /** `room`: bytes of each buffer. */
  constructor(room?: number) {
    this.streams = new FakeStreams(this.machine, room);
    this.a = this.machine.createNet({ name: "a", plugins: [this.streams.plugin(0x0a000001)] });
    this.b = this.machine.createNet({ name: "b", plugins: [this.streams.plugin(0x0a000002)] });
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}
