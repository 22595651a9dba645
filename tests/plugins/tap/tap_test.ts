/** TAP against the kernel, each case in a network namespace of its own; and its errors, which need no kernel. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ERRNO, Machine } from "../../../core/mod.ts";
import { DeviceError, tap, VnetHeader } from "../../../plugins/device/tap/mod.ts";
import type { Libc } from "../../../plugins/device/tap/ffi.ts";
import { openTap } from "../../../plugins/device/tap/open.ts";
import { Uring } from "../../../plugins/device/tap/uring.ts";
import { testNeeding } from "../../support/needs.ts";

const WORKER = new URL("./worker.ts", import.meta.url);
const STREAMS = new URL("./stream_worker.ts", import.meta.url);
const CONFIG = new URL("../../../deno.json", import.meta.url);

async function inNamespace(
  worker: URL,
  name: string,
  ...permissions: string[]
): Promise<{ code: number; out: string }> {
  const { code, stdout, stderr } = await new Deno.Command("unshare", {
    args: [
      "-n",
      Deno.execPath(),
      "run",
      "--no-check",
      "--quiet",
      `--config=${CONFIG.pathname}`,
      ...permissions,
      worker.pathname,
      name,
    ],
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout) + text.decode(stderr) };
}

for (
  const [name, what] of [
    ["suite", "keeps the device contract"],
    ["arp", "the kernel's ARP request arrives, and it believes a crafted reply"],
    ["link", "follows the kernel's MTU and carrier, and tells it ours"],
    ["gone", "survives that its interface is deleted"],
    ["idle", "uses under 1 % of a CPU while nothing happens"],
    ["forty", "40 devices in one process leave file reads prompt"],
    ["errors", "says in one line why the kernel refuses"],
    ["offloads", "leaves checksums partial and super-packets whole, both ways"],
    ["busy", "a kernel without room stops the queue, and wakes it"],
    ["batches", "many frames take few system calls, and keep their order"],
    ["midway", "goes down and away while a batch of frames is received"],
    ["dispose", "ends with its machine, and can be made again"],
  ]
) {
  testNeeding(["root", "tun", "program:unshare", "program:ip"], `tap: ${what}`, async () => {
    const { code, out } = await inNamespace(WORKER, name, "--allow-all");
    assert(code === 0, out);
  });
}

for (
  const [name, what] of [
    ["ring", "in batches"],
    ["calls", "with a system call for each frame"],
    ["gro", "merged on receive"],
    ["offloads", "in super-packets, checksums partial"],
    ["offloads-calls", "in super-packets, with a system call for each"],
    ["route-plain", "through a router"],
    ["route-offloads", "through a router that leaves super-packets whole"],
    ["route-mixed", "through a router that cuts super-packets on one side and merges on the other"],
  ]
) {
  testNeeding(
    ["root", "tun", "program:unshare", "program:ip", "program:nsenter"],
    `tap: TCP against the kernel's, ${what}`,
    async () => {
      const { code, out } = await inNamespace(STREAMS, name, "--allow-all");
      assert(code === 0, out);
    },
  );
}

testNeeding(["root", "program:unshare"], "tap: without --allow-ffi the one line says so", async () => {
  const { code, out } = await inNamespace(WORKER, "arp", "--allow-run", "--allow-read", "--allow-env");
  assertEquals(code, 1);
  assert(out.includes("--allow-ffi"), out);
});

Deno.test("tap: virtual time and a real device do not go together", () => {
  const error = assertThrows(() => tap(new Machine().createNet(), { name: "tap9" }), DeviceError);
  assertEquals(error.code, "NotSupported");
  assert(error.message.includes("realPlatform()"));
});

/** A C library whose `open` or `ioctl` fails with `errno`. */
function failing(call: "open" | "ioctl", errno: number): Libc {
  const sys = { open: () => call === "open" ? -1 : 3, ioctl: () => -1, close: () => 0 };
  return { sys, errno } as unknown as Libc;
}

for (
  const [call, errno, run] of [
    ["open", "ENOENT", "sudo modprobe tun"],
    ["open", "EACCES", "sudo chmod 666 /dev/net/tun"],
    ["open", "ENODEV", "sudo modprobe tun"],
    [
      "ioctl",
      "EPERM",
      "sudo ip tuntap add dev tap0 mode tap user $(id -un) && sudo ip link set tap0 up",
    ],
    ["ioctl", "EBUSY", "sudo lsof /dev/net/tun"],
    ["ioctl", "EINVAL", "ip -d link show tap0"],
  ] as const
) {
  Deno.test(`tap: ${call} that fails with ${errno} is one line that says what to run`, () => {
    const error = assertThrows(() => openTap(failing(call, ERRNO[errno]), { name: "tap0" }), DeviceError);
    assertEquals(error.code, errno);
    assert(error.message.startsWith("Cannot open TAP tap0"));
    assert(error.message.includes(run), error.message);
    assertEquals(error.message.includes("\n"), false);
  });
}

Deno.test("tap: a kernel that has no io_uring, or hides its memory, is one without: nothing stays open", () => {
  const log: string[] = [];
  const sys = {
    uring_setup: () => (log.push("setup"), -1),
    close: (fd: number) => (log.push(`close ${fd}`), 0),
    mmap: () => null,
  };
  assertEquals(Uring.open({ sys, errno: ERRNO.EPERM } as unknown as Libc), null);
  // With the flags of 6.1, then without.
  assertEquals(log.splice(0), ["setup", "setup"]);
  const mapless = { ...sys, uring_setup: () => 7 };
  assertEquals(Uring.open({ sys: mapless, errno: 0 } as unknown as Libc), null);
  assertEquals(log, ["close 7"]);
});

Deno.test("the vnet header reads its golden bytes", () => {
  const bytes = Uint8Array.of(0, 1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0);
  const h = new VnetHeader(new DataView(bytes.buffer), 1);
  assertEquals([h.flags, h.gsoType, h.hdrLen, h.gsoSize, h.csumStart, h.csumOffset], [1, 1, 54, 1460, 34, 16]);
});
