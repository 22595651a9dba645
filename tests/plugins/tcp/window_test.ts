import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type InitialWindow, tcpSelectInitialWindow } from "../../../plugins/transport/tcp/window.ts";
import type { TcpState } from "../../../plugins/transport/tcp/tcp_state.ts";
import { TcpSysctl } from "../../../plugins/transport/tcp/tcp_state.ts";
import { concat } from "../../support/frames/bytes.ts";
import { mssOption, RawPeer, wscaleOption } from "../../support/tcp_peer.ts";

function initial(space: number, mss: number, wscaleOk: boolean, clamp = 0, rmemMax = 212_992): InitialWindow {
  const out: InitialWindow = { rcvWnd: 0, windowClamp: clamp, rcvWscale: 0 };
  tcpSelectInitialWindow({ sysctl: new TcpSysctl() } as unknown as TcpState, space, mss, wscaleOk, 0, rmemMax, out);
  return out;
}

Deno.test("the window of a SYN: whole segments of half the buffer, and a shift for the largest buffer there may be", () => {
  assertEquals(initial(65536, 1460, true), { rcvWnd: 64240, windowClamp: 65535 << 10, rcvWscale: 10 });
  assertEquals(initial(65536, 1448, true).rcvWnd, 65160);
  assertEquals(initial(65536, 1460, false), { rcvWnd: 64240, windowClamp: 65535, rcvWscale: 0 });
  // Less than a segment stays as it is; TCP_WINDOW_CLAMP and SO_RCVBUF bound it.
  assertEquals(initial(1000, 1460, true).rcvWnd, 1000);
  assertEquals(initial(65536, 1460, true, 10000), { rcvWnd: 8760, windowClamp: 10000, rcvWscale: 0 });
  assertEquals(initial(-5, 1460, true).rcvWnd, 0);
});

Deno.test("without a shift the window is 64240, less what is not read yet", () => {
  using t = new RawPeer();
  const fd = t.connect();
  t.send({ seq: 1, ack: 1, flags: "PA" }, new Uint8Array(10));
  const [ack] = t.after(50);
  assertEquals([ack.ack, ack.window], [11, 64230]);
  assertEquals(t.read(fd, 100), 10);
});

Deno.test("[A47] no silly window: it closes by what comes, and opens again in steps of a segment", () => {
  using t = new RawPeer();
  const fd = t.connect({ rcvbuf: 16384 });
  let seq = 1;
  let edge = 0;
  let last = -1;
  const windows: number[] = [];
  for (let i = 0; i < 200 && last !== 0; i++) {
    const room = last < 0 ? 1460 : Math.min(1460, last);
    t.send({ seq, ack: 1, flags: "PA" }, new Uint8Array(room));
    seq += room;
    for (const s of t.after(250)) {
      assert(s.ack + s.window >= edge, `the right edge went back from ${edge} to ${s.ack + s.window}`);
      edge = s.ack + s.window;
      last = s.window;
      windows.push(last);
    }
  }
  assertEquals(last, 0);
  // A few bytes read open nothing; when it opens, it is by a segment or half of the buffer.
  assertEquals(t.read(fd, 100), 100);
  assertEquals(t.after(100), []);
  while (t.read(fd, 1460) > 0);
  const [open] = t.take();
  assert(open.window >= 1460, `opened by ${open.window}`);
});

Deno.test("[SHLD-14] the right edge of the window never goes back, whatever is received and read", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 1460 }), fc.integer({ min: 0, max: 4000 })), { maxLength: 60 }),
      fc.boolean(),
      (steps, scaled) => {
        using t = new RawPeer();
        const options = scaled ? concat(mssOption(1460), wscaleOption(7)) : mssOption(1460);
        const fd = t.connect({ options });
        const shift = scaled ? t.tp(fd).rcvWscale : 0;
        let seq = 1;
        let edge = 0;
        for (const [bytes, read] of steps) {
          const room = Math.min(bytes, edge === 0 ? bytes : edge - seq);
          if (room > 0) {
            t.send({ seq, ack: 1, flags: "PA" }, new Uint8Array(room));
            seq += room;
          }
          if (read > 0) t.read(fd, read);
          for (const s of t.after(45)) {
            const right = s.ack + s.window * 2 ** shift;
            assert(right >= edge);
            edge = right;
          }
        }
      },
    ),
    { numRuns: 20 },
  );
});
