/** `FakeTime` as `@std/testing/time` has it, over the timers mock of `node:test`. */
import { mock } from "node:test";

export class TimeError extends Error {
  override name = "TimeError";
}

export class FakeTime {
  static #active: FakeTime | null = null;
  readonly start: number;

  constructor(start: number | string | Date = Date.now()) {
    if (FakeTime.#active) throw new TimeError("Cannot construct FakeTime: time is already faked");
    this.start = new Date(start).getTime();
    mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: this.start });
    FakeTime.#active = this;
  }

  static restore(): void {
    if (!FakeTime.#active) throw new TimeError("Cannot restore time: time is already restored");
    FakeTime.#active.restore();
  }

  get now(): number {
    return Date.now();
  }

  set now(value: number) {
    if (value < this.now) throw new RangeError("Cannot set current time in the past");
    this.tick(value - this.now);
  }

  tick(ms = 0): void {
    mock.timers.tick(ms);
  }

  async tickAsync(ms = 0): Promise<void> {
    await this.runMicrotasks();
    this.tick(ms);
    await this.runMicrotasks();
  }

  runAll(): void {
    mock.timers.runAll();
  }

  async runMicrotasks(): Promise<void> {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }

  restore(): void {
    if (FakeTime.#active !== this) throw new TimeError("Cannot restore time: time is already restored");
    mock.timers.reset();
    FakeTime.#active = null;
  }

  [Symbol.dispose](): void {
    if (FakeTime.#active === this) this.restore();
  }
}
