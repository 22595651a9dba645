/** The wheel against a naive list, over the wrap of jiffies; hrtimers; the rules of virtual time. */
import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import fc from "fast-check";
import { HrTimer, HrTimerQueue, Machine, realPlatform, Timer, TimerWheel, virtualPlatform } from "../../core/mod.ts";

const command = fc.record({
  op: fc.constantFrom("mod", "mod", "mod", "del", "advance"),
  who: fc.nat(15),
  // Short ones, ones at the borders of the levels, and far ones.
  n: fc.oneof(
    fc.nat(300),
    fc.constantFrom(1, 255, 256, 257, 16383, 16384, 16385, 1 << 20, (1 << 20) + 1, 1 << 26, (1 << 26) + 5),
    fc.nat(1 << 27),
  ),
});

Deno.test("the wheel fires every timer at its very jiffy, as a naive list does, also over the wrap", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0, 100, 0x7fffff00 | 0, -300, -(1 << 14) - 5, 0x7fffffff | 0),
      fc.array(command, { maxLength: 60 }),
      (start, commands) => {
        const wheel = new TimerWheel();
        wheel.now = start;
        let elapsed = 0;
        const due = new Map<number, number>();
        const fired: [number, number][] = [];
        const timers = Array.from({ length: 16 }, (_, i) => new Timer(() => fired.push([i, wheel.now])));
        for (const { op, who, n } of commands) {
          if (op === "mod") {
            wheel.mod(timers[who], (wheel.now + n) | 0);
            due.set(who, elapsed + Math.max(1, n));
          } else if (op === "del") {
            assertEquals(wheel.del(timers[who]), due.delete(who));
          } else {
            fired.length = 0;
            elapsed += n;
            const want = [...due].filter(([, at]) => at <= elapsed).sort((a, b) => a[1] - b[1] || a[0] - b[0]);
            assertEquals(wheel.advance((start + elapsed) | 0), want.length);
            fired.sort((a, b) => ((a[1] - b[1]) | 0) || a[0] - b[0]);
            assertEquals(fired, want.map(([i, at]) => [i, (start + at) | 0]));
            for (const [i] of want) due.delete(i);
          }
          assertEquals(wheel.armed, due.size);
          const next = wheel.next();
          if (due.size === 0) assertEquals(next, -1);
          else {
            const first = Math.min(...due.values()) - elapsed;
            assert(next >= 1 && next <= first, `${next} <= ${first}`);
          }
        }
      },
    ),
    { numRuns: 400, seed: 11 },
  );
});

Deno.test("a timer may arm itself and others, and disarm others of its jiffy, while it fires", () => {
  const wheel = new TimerWheel();
  const log: string[] = [];
  const b = new Timer(() => log.push("b"));
  const a: Timer = new Timer(() => {
    log.push(`a${wheel.now}`);
    wheel.del(b);
    if (wheel.now < 1000) wheel.mod(a, wheel.now + 256);
  });
  wheel.mod(b, 10);
  wheel.mod(a, 10);
  wheel.advance(5000);
  assertEquals(log, ["a10", "a266", "a522", "a778", "a1034"]);
  assertEquals(wheel.armed, 0);
});

Deno.test("a timer that throws does not keep the others from firing", () => {
  const wheel = new TimerWheel();
  const heard: string[] = [];
  wheel.onError = (who) => heard.push(who);
  let n = 0;
  for (let i = 0; i < 3; i++) {
    wheel.mod(
      new Timer(() => {
        n++;
        throw new Error("x");
      }),
      5,
    );
  }
  wheel.advance(5);
  assertEquals([n, heard.length], [3, 3]);
});

Deno.test("hrtimers fire in order of time, equal ones in order of arming", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ at: fc.nat(50), cancel: fc.boolean() }), { maxLength: 60 }), (list) => {
      const q = new HrTimerQueue();
      const fired: number[] = [];
      const timers = list.map((_, i) => new HrTimer(() => fired.push(i)));
      list.forEach((t, i) => q.start(timers[i], t.at));
      list.forEach((t, i) => t.cancel && assert(q.cancel(timers[i]) && !q.cancel(timers[i])));
      const want = list.map((t, i) => ({ ...t, i })).filter((t) => !t.cancel).sort((a, b) => a.at - b.at || a.i - b.i);
      assertEquals(q.armed, want.length);
      assertEquals(q.next(), want[0]?.at ?? Infinity);
      q.run(50);
      assertEquals(fired, want.map((t) => t.i));
    }),
    { numRuns: 200, seed: 3 },
  );
});

Deno.test("an hrtimer that arms itself for now waits for the next run", () => {
  const q = new HrTimerQueue();
  let n = 0;
  const t: HrTimer = new HrTimer(() => {
    n++;
    q.start(t, 0);
  });
  q.start(t, 0);
  q.run(0);
  assertEquals(n, 1);
  assert(t.pending);
});

// ---- virtual time

const turns = async (n: number) => {
  for (let i = 0; i < n; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};

Deno.test("virtual time: advance runs all that falls due, in order, at its time", () => {
  using machine = new Machine({ autoAdvance: false });
  const log: [string, number][] = [];
  const note = (name: string) => () => log.push([name, machine.now]);
  machine.modTimer(new Timer(note("wheel")), 7);
  machine.modTimer(new Timer(note("lazy"), true), 300);
  machine.hrtimers.start(new HrTimer(note("hr")), 6_999_999);
  machine.advance(400e6);
  assertEquals(log, [["hr", 6_999_999], ["wheel", 7e6], ["lazy", 300e6]]);
  assertEquals([machine.now, machine.jiffies], [400e6, 400]);
});

Deno.test("virtual time: runUntilIdle stops when only deferrable timers are left", () => {
  using machine = new Machine({ autoAdvance: false });
  const log: string[] = [];
  machine.modTimer(new Timer(() => log.push("lazy"), true), 5000);
  machine.modTimer(new Timer(() => log.push("a")), 1000);
  machine.runUntilIdle();
  assertEquals(log, ["a"]);
  assertEquals(machine.now, 1000e6);
  assertFalse(machine.step());
  machine.runUntilIdle(0);
  const again: Timer = new Timer(() => machine.modTimer(again, 1000));
  machine.modTimer(again, 1000);
  machine.runUntilIdle(10e9);
  assertEquals(machine.now, 11e9);
  assertEquals(log, ["a", "lazy"]);
});

Deno.test("virtual time: after long idleness a timer still fires at its jiffy", () => {
  using machine = new Machine({ autoAdvance: false });
  machine.advance(3e15);
  let at = 0;
  machine.modTimer(new Timer(() => at = machine.now), 12);
  machine.runUntilIdle();
  assertEquals(at, 3e15 + 12e6);
});

Deno.test("virtual time: the longest delay does not wrap into the past", () => {
  using machine = new Machine({ autoAdvance: false });
  let fired = false;
  machine.modTimer(new Timer(() => fired = true), 2 ** 40);
  machine.advance(1000e9);
  assertFalse(fired);
});

Deno.test("virtual time moves by itself after two quiet turns, not while there are entries, nor under a hold", async () => {
  using machine = new Machine();
  let fired = 0;
  const arm = () => machine.batch(() => machine.modTimer(new Timer(() => fired++), 1000));
  arm();
  await turns(2);
  assertEquals(fired, 0);
  await turns(4);
  assertEquals([fired, machine.now], [1, 1000e6]);
  arm();
  for (let i = 0; i < 10; i++) {
    machine.batch(() => {});
    await turns(1);
  }
  assertEquals(fired, 1);
  {
    using _hold = machine.hold();
    await turns(10);
    assertEquals(fired, 1);
  }
  await turns(6);
  assertEquals(fired, 2);
});

Deno.test("a machine with a real platform fires its timers by the host's clock, and refuses to be moved", async () => {
  using machine = new Machine({ platform: realPlatform() });
  const fired: string[] = [];
  machine.batch(() => {
    machine.modTimer(new Timer(() => fired.push("far")), 3_600_000);
    machine.modTimer(new Timer(() => fired.push("near")), 5);
    machine.hrtimers.start(new HrTimer(() => fired.push("hr")), machine.now + 1e6);
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  assertEquals(fired, ["hr", "near"]);
  assertThrows(() => machine.advance(1), TypeError, "real platform");
});

Deno.test("the same seed gives the same randomness, another seed another one", () => {
  const take = (seed: number) => Array.from({ length: 20 }, ((p) => () => p.random())(virtualPlatform(seed)));
  assertEquals(take(1), take(1));
  assert(take(1).join() !== take(2).join());
  assert(take(1).every((x) => (x | 0) === x));
});
