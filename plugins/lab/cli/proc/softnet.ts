/** What the kernel shows of its CPUs: /proc/net/softnet_stat and /proc/interrupts. */
import type { Machine } from "../../../../core/mod.ts";

/**
 * A line per CPU, 15 columns in hexadecimal: processed, dropped, time_squeeze, five zeros, cpu_collision, received_rps,
 * flow_limit_count, backlog, the CPU, and the two queues of the backlog. Linux: net/core/net-procfs.c.
 */
export function softnetStat(machine: Machine): string[] {
  return machine.cpus.map((cpu) => {
    const { qlen } = cpu.backlog;
    const columns = [
      cpu.processed,
      cpu.dropped,
      cpu.timeSqueeze,
      0,
      0,
      0,
      0,
      0,
      0,
      cpu.receivedRps,
      0,
      qlen,
      cpu.id,
      qlen,
    ];
    return [...columns, 0].map((n) => (n >>> 0).toString(16).padStart(8, "0")).join(" ");
  });
}

/** A line per interrupt line: how often each CPU took it, and its name. */
export function interrupts(machine: Machine): string[] {
  const head = machine.cpus.map((cpu) => `CPU${cpu.id}`.padEnd(10)).join(" ");
  const width = String(Math.max(0, ...machine.irqs.keys())).length + 1;
  return [
    " ".repeat(width + 8) + head.trimEnd(),
    ...[...machine.irqs.values()].map((line) => {
      const counts = line.perCpu.map((n) => String(n).padStart(10)).join(" ");
      return `${String(line.irq).padStart(width)}: ${counts}  MSI-X  ${line.name}`;
    }),
  ];
}
