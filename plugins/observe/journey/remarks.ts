/** Where textbooks and the kernel differ, as data: the renderer shows each once, where it happens. */

/** One difference. */
export interface Remark {
  /** Name for programs. */
  readonly id: string;
  /** What textbooks say. */
  readonly textbook: string;
  /** What the kernel does, and netpath. */
  readonly kernel: string;
  /** Numbers of the claims that it is about. */
  readonly claims: readonly string[];
}

/** All of them. */
export const REMARKS: readonly Remark[] = [
  {
    id: "irq-mask",
    textbook: "the handler masks the interrupt, raises the softirq, and unmasks it",
    kernel:
      "the CPU's interrupts come back when the handler returns; the device queue's interrupt stays masked until " +
      "NAPI has emptied the ring (napi_complete_done)",
    claims: ["R7", "R9"],
  },
  {
    id: "ksoftirqd",
    textbook: "ksoftirqd is woken and does the polling",
    kernel: "softirqs run where the interrupt or the system call ends; ksoftirqd takes over after 2 ms or 10 restarts",
    claims: ["R10"],
  },
  {
    id: "napi-budget",
    textbook: "NAPI polls until the ring is empty",
    kernel: "64 packets a poll, 300 packets or 2 jiffies a run; what is left counts as time_squeeze and is run again",
    claims: ["R5"],
  },
  {
    id: "tcp-clone",
    textbook: "TCP copies the data for retransmission",
    kernel: "skb_clone(): new metadata over the same bytes, 0 payload bytes copied",
    claims: ["T5", "C2"],
  },
  {
    id: "fragment-copy",
    textbook: "IP fragmentation copies the data",
    kernel: "only on the slow path; a datagram that is too large is built in fragments from the start (ip_append_data)",
    claims: ["T11", "C3"],
  },
  {
    id: "tx-softirq",
    textbook: "a softirq tells the driver that there is something to send",
    kernel: "queue discipline and driver run in the sender's own context; NET_TX only runs what had to be put off",
    claims: ["T15"],
  },
  {
    id: "wake-then-copy",
    textbook: "the data is copied to the reader, then the reader is woken",
    kernel: "first the wake-up (sk_data_ready); the reader then copies in its own context",
    claims: ["R23", "R24"],
  },
];

/** A difference by name; an unknown name is a RangeError. */
export function remark(id: string): Remark {
  const found = REMARKS.find((r) => r.id === id);
  if (found === undefined) throw new RangeError(`Cannot find remark ${id}: ${REMARKS.map((r) => r.id).join(", ")}`);
  return found;
}
