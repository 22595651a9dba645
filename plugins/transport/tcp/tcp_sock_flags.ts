/**
 * The flags of a connection, in one word. Read and written as fields of a TcpSock.
 */

// Bits of `bits`, in the order of the accessors.
const B_0 = 1 << 0;
const B_1 = 1 << 1;
const B_2 = 1 << 2;
const B_3 = 1 << 3;
const B_4 = 1 << 4;
const B_5 = 1 << 5;
const B_6 = 1 << 6;
const B_7 = 1 << 7;
const B_8 = 1 << 8;
const B_9 = 1 << 9;
const B_11 = 1 << 11;
const B_12 = 1 << 12;
const B_13 = 1 << 13;
const B_14 = 1 << 14;
const B_15 = 1 << 15;
const B_16 = 1 << 16;
const B_17 = 1 << 17;
const B_18 = 1 << 18;
const B_19 = 1 << 19;
const B_20 = 1 << 20;
const B_21 = 1 << 21;
const B_22 = 1 << 22;
const B_23 = 1 << 23;

/** See the top. */
export abstract class TcpSockFlags {
  /** Flags: see the accessors. */
  bits = 0;

  /** See {@linkcode TcpCongestionSock}. */
  get isCwndLimited(): boolean {
    return (this.bits & B_0) !== 0;
  }
  set isCwndLimited(v: boolean) {
    this.bits = v ? this.bits | B_0 : this.bits & ~B_0;
  }

  /** There is a D-SACK to tell. */
  get hasDsack(): boolean {
    return (this.bits & B_1) !== 0;
  }
  set hasDsack(v: boolean) {
    this.bits = v ? this.bits | B_1 : this.bits & ~B_1;
  }

  /** Timestamps agreed. */
  get tstampOk(): boolean {
    return (this.bits & B_2) !== 0;
  }
  set tstampOk(v: boolean) {
    this.bits = v ? this.bits | B_2 : this.bits & ~B_2;
  }

  /** The segment at hand has one. */
  get sawTstamp(): boolean {
    return (this.bits & B_3) !== 0;
  }
  set sawTstamp(v: boolean) {
    this.bits = v ? this.bits | B_3 : this.bits & ~B_3;
  }

  /** Window scaling agreed. */
  get wscaleOk(): boolean {
    return (this.bits & B_4) !== 0;
  }
  set wscaleOk(v: boolean) {
    this.bits = v ? this.bits | B_4 : this.bits & ~B_4;
  }

  /** SACK agreed. */
  get sackOk(): boolean {
    return (this.bits & B_5) !== 0;
  }
  set sackOk(v: boolean) {
    this.bits = v ? this.bits | B_5 : this.bits & ~B_5;
  }

  /** The control was chosen by TCP_CONGESTION. Linux: icsk_ca_setsockopt. */
  get caChosen(): boolean {
    return (this.bits & B_6) !== 0;
  }
  set caChosen(v: boolean) {
    this.bits = v ? this.bits | B_6 : this.bits & ~B_6;
  }

  /** The control was initialised. */
  get caInitialized(): boolean {
    return (this.bits & B_7) !== 0;
  }
  set caInitialized(v: boolean) {
    this.bits = v ? this.bits | B_7 : this.bits & ~B_7;
  }

  /** F-RTO step: a new timeout may be spurious. RFC 5682. */
  get frto(): boolean {
    return (this.bits & B_8) !== 0;
  }
  set frto(v: boolean) {
    this.bits = v ? this.bits | B_8 : this.bits & ~B_8;
  }

  /** The probe was a retransmission. */
  get tlpRetrans(): boolean {
    return (this.bits & B_9) !== 0;
  }
  set tlpRetrans(v: boolean) {
    this.bits = v ? this.bits | B_9 : this.bits & ~B_9;
  }

  /** A newer one was delivered. */
  get rackAdvanced(): boolean {
    return (this.bits & B_11) !== 0;
  }
  set rackAdvanced(v: boolean) {
    this.bits = v ? this.bits | B_11 : this.bits & ~B_11;
  }

  /** D-SACK widened the window in this round. */
  get rackDsackSeen(): boolean {
    return (this.bits & B_12) !== 0;
  }
  set rackDsackSeen(v: boolean) {
    this.bits = v ? this.bits | B_12 : this.bits & ~B_12;
  }

  /** The receiver forgot what it had SACKed; until this recovery ends. Linux: is_sack_reneg. */
  get isSackReneg(): boolean {
    return (this.bits & B_13) !== 0;
  }
  set isSackReneg(v: boolean) {
    this.bits = v ? this.bits | B_13 : this.bits & ~B_13;
  }

  /** There is one; none: look from the first unacknowledged one on. */
  get hasRetransmitHint(): boolean {
    return (this.bits & B_14) !== 0;
  }
  set hasRetransmitHint(v: boolean) {
    this.bits = v ? this.bits | B_14 : this.bits & ~B_14;
  }

  /** It was taken while the application limited the rate. */
  get rateAppLimited(): boolean {
    return (this.bits & B_15) !== 0;
  }
  set rateAppLimited(v: boolean) {
    this.bits = v ? this.bits | B_15 : this.bits & ~B_15;
  }

  /** Enough is in the queues below: goes on when a transmitted packet is freed. Linux: TSQ_THROTTLED. */
  get tsqThrottled(): boolean {
    return (this.bits & B_16) !== 0;
  }
  set tsqThrottled(v: boolean) {
    this.bits = v ? this.bits | B_16 : this.bits & ~B_16;
  }

  /** On the net's list of those that go on. Linux: TSQ_QUEUED. */
  get tsqQueued(): boolean {
    return (this.bits & B_17) !== 0;
  }
  set tsqQueued(v: boolean) {
    this.bits = v ? this.bits | B_17 : this.bits & ~B_17;
  }

  /** The last one dropped SYN, as the log tells. */
  get synFloodWarned(): boolean {
    return (this.bits & B_18) !== 0;
  }
  set synFloodWarned(v: boolean) {
    this.bits = v ? this.bits | B_18 : this.bits & ~B_18;
  }

  /** Cookies were sent. */
  get synOverflowSeen(): boolean {
    return (this.bits & B_19) !== 0;
  }
  set synOverflowSeen(v: boolean) {
    this.bits = v ? this.bits | B_19 : this.bits & ~B_19;
  }

  /** The peer's FIN came: readers get the end, whatever happens later. Linux: SOCK_DONE. */
  get sockDone(): boolean {
    return (this.bits & B_20) !== 0;
  }
  set sockDone(v: boolean) {
    this.bits = v ? this.bits | B_20 : this.bits & ~B_20;
  }

  /** In an accept queue: no descriptor yet. */
  get inAcceptQueue(): boolean {
    return (this.bits & B_21) !== 0;
  }
  set inAcceptQueue(v: boolean) {
    this.bits = v ? this.bits | B_21 : this.bits & ~B_21;
  }

  /** Closed by the user. Linux: SOCK_DEAD with tcp_orphan_count. */
  get orphan(): boolean {
    return (this.bits & B_22) !== 0;
  }
  set orphan(v: boolean) {
    this.bits = v ? this.bits | B_22 : this.bits & ~B_22;
  }

  /** Memory is returned; late timers do nothing. */
  get destroyed(): boolean {
    return (this.bits & B_23) !== 0;
  }
  set destroyed(v: boolean) {
    this.bits = v ? this.bits | B_23 : this.bits & ~B_23;
  }
}
