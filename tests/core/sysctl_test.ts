import { assertEquals, assertThrows } from "@std/assert";
import { Sysctl } from "../../core/mod.ts";

Deno.test("sysctl: a knob whose value is a word takes the words that it knows, and says which", () => {
  const sysctl = new Sysctl();
  let chosen = "cubic";
  const knob = sysctl.defineTree("net.ipv4.tcp_congestion_control", {
    get: () => chosen,
    set: (_, _value, word) => {
      if (word !== "cubic" && word !== "reno") throw new RangeError(`Cannot set it to ${word}: it takes cubic, reno`);
      chosen = word;
      return true;
    },
    list: () => [""],
  });
  sysctl.set("net.ipv4.tcp_congestion_control", "reno");
  assertEquals(sysctl.getText("net.ipv4.tcp_congestion_control"), "reno");
  assertThrows(() => sysctl.set("net.ipv4.tcp_congestion_control", "bbr"), RangeError, "it takes cubic, reno");
  assertThrows(() => sysctl.set("net.ipv4.tcp_congestion_control", 1), RangeError, "to 1: it takes cubic, reno");
  assertEquals(sysctl.list(), ["net.ipv4.tcp_congestion_control"]);
  knob[Symbol.dispose]();
  assertThrows(() => sysctl.set("net.ipv4.tcp_congestion_control", "reno"), TypeError, "Unknown sysctl");
});

Deno.test("sysctl: numbers come as /proc/sys spells them", () => {
  const sysctl = new Sysctl();
  let got: readonly number[] = [];
  sysctl.define("net.ipv4.tcp_rmem", { value: [1, 2, 3], min: 1, apply: (_, all) => got = all });
  sysctl.set("net.ipv4.tcp_rmem", "4096 131072\t33554432");
  assertEquals([[...got], sysctl.getText("net.ipv4.tcp_rmem")], [[4096, 131072, 33554432], "4096 131072 33554432"]);
  assertThrows(() => sysctl.set("net.ipv4.tcp_rmem", "4096 x 1"), RangeError, "it takes a whole number");
});
