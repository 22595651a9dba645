/**
 * The counters of /proc/net/netstat's TcpExt, in Linux's order. Linux: snmp4_net_list[], net/ipv4/proc.c.
 *
 * A class, since V8 keeps an object literal of 128 properties or more as a dictionary: each count would be a look-up.
 */

/** Their names. */
export type TcpExtName =
  | "SyncookiesSent"
  | "SyncookiesRecv"
  | "SyncookiesFailed"
  | "EmbryonicRsts"
  | "PruneCalled"
  | "RcvPruned"
  | "OfoPruned"
  | "OutOfWindowIcmps"
  | "LockDroppedIcmps"
  | "ArpFilter"
  | "TW"
  | "TWRecycled"
  | "TWKilled"
  | "PAWSActive"
  | "PAWSEstab"
  | "TSEcrRejected"
  | "PAWSOldAck"
  | "PAWSTimewait"
  | "DelayedACKs"
  | "DelayedACKLocked"
  | "DelayedACKLost"
  | "ListenOverflows"
  | "ListenDrops"
  | "TCPHPHits"
  | "TCPPureAcks"
  | "TCPHPAcks"
  | "TCPRenoRecovery"
  | "TCPSackRecovery"
  | "TCPSACKReneging"
  | "TCPSACKReorder"
  | "TCPRenoReorder"
  | "TCPTSReorder"
  | "TCPFullUndo"
  | "TCPPartialUndo"
  | "TCPDSACKUndo"
  | "TCPLossUndo"
  | "TCPLostRetransmit"
  | "TCPRenoFailures"
  | "TCPSackFailures"
  | "TCPLossFailures"
  | "TCPFastRetrans"
  | "TCPSlowStartRetrans"
  | "TCPTimeouts"
  | "TCPLossProbes"
  | "TCPLossProbeRecovery"
  | "TCPRenoRecoveryFail"
  | "TCPSackRecoveryFail"
  | "TCPRcvCollapsed"
  | "TCPBacklogCoalesce"
  | "TCPDSACKOldSent"
  | "TCPDSACKOfoSent"
  | "TCPDSACKRecv"
  | "TCPDSACKOfoRecv"
  | "TCPAbortOnData"
  | "TCPAbortOnClose"
  | "TCPAbortOnMemory"
  | "TCPAbortOnTimeout"
  | "TCPAbortOnLinger"
  | "TCPAbortFailed"
  | "TCPMemoryPressures"
  | "TCPMemoryPressuresChrono"
  | "TCPSACKDiscard"
  | "TCPDSACKIgnoredOld"
  | "TCPDSACKIgnoredNoUndo"
  | "TCPSpuriousRTOs"
  | "TCPMD5NotFound"
  | "TCPMD5Unexpected"
  | "TCPMD5Failure"
  | "TCPSackShifted"
  | "TCPSackMerged"
  | "TCPSackShiftFallback"
  | "TCPBacklogDrop"
  | "PFMemallocDrop"
  | "TCPMinTTLDrop"
  | "TCPDeferAcceptDrop"
  | "IPReversePathFilter"
  | "TCPTimeWaitOverflow"
  | "TCPReqQFullDoCookies"
  | "TCPReqQFullDrop"
  | "TCPRetransFail"
  | "TCPRcvCoalesce"
  | "TCPOFOQueue"
  | "TCPOFODrop"
  | "TCPOFOMerge"
  | "TCPChallengeACK"
  | "TCPSYNChallenge"
  | "TCPFastOpenActive"
  | "TCPFastOpenActiveFail"
  | "TCPFastOpenPassive"
  | "TCPFastOpenPassiveFail"
  | "TCPFastOpenListenOverflow"
  | "TCPFastOpenCookieReqd"
  | "TCPFastOpenBlackhole"
  | "TCPSpuriousRtxHostQueues"
  | "BusyPollRxPackets"
  | "TCPAutoCorking"
  | "TCPFromZeroWindowAdv"
  | "TCPToZeroWindowAdv"
  | "TCPWantZeroWindowAdv"
  | "TCPSynRetrans"
  | "TCPOrigDataSent"
  | "TCPHystartTrainDetect"
  | "TCPHystartTrainCwnd"
  | "TCPHystartDelayDetect"
  | "TCPHystartDelayCwnd"
  | "TCPACKSkippedSynRecv"
  | "TCPACKSkippedPAWS"
  | "TCPACKSkippedSeq"
  | "TCPACKSkippedFinWait2"
  | "TCPACKSkippedTimeWait"
  | "TCPACKSkippedChallenge"
  | "TCPWinProbe"
  | "TCPKeepAlive"
  | "TCPMTUPFail"
  | "TCPMTUPSuccess"
  | "TCPDelivered"
  | "TCPDeliveredCE"
  | "TCPAckCompressed"
  | "TCPZeroWindowDrop"
  | "TCPRcvQDrop"
  | "TCPWqueueTooBig"
  | "TCPFastOpenPassiveAltKey"
  | "TcpTimeoutRehash"
  | "TcpDuplicateDataRehash"
  | "TCPDSACKRecvSegs"
  | "TCPDSACKIgnoredDubious"
  | "TCPMigrateReqSuccess"
  | "TCPMigrateReqFailure"
  | "TCPPLBRehash"
  | "TCPAORequired"
  | "TCPAOBad"
  | "TCPAOKeyNotFound"
  | "TCPAOGood"
  | "TCPAODroppedIcmps"
  | "BeyondWindow";

/** All of them, 0 at the start. */
export class TcpExtMib implements Record<TcpExtName, number> {
  SyncookiesSent = 0;
  SyncookiesRecv = 0;
  SyncookiesFailed = 0;
  EmbryonicRsts = 0;
  PruneCalled = 0;
  RcvPruned = 0;
  OfoPruned = 0;
  OutOfWindowIcmps = 0;
  LockDroppedIcmps = 0;
  ArpFilter = 0;
  TW = 0;
  TWRecycled = 0;
  TWKilled = 0;
  PAWSActive = 0;
  PAWSEstab = 0;
  TSEcrRejected = 0;
  PAWSOldAck = 0;
  PAWSTimewait = 0;
  DelayedACKs = 0;
  DelayedACKLocked = 0;
  DelayedACKLost = 0;
  ListenOverflows = 0;
  ListenDrops = 0;
  TCPHPHits = 0;
  TCPPureAcks = 0;
  TCPHPAcks = 0;
  TCPRenoRecovery = 0;
  TCPSackRecovery = 0;
  TCPSACKReneging = 0;
  TCPSACKReorder = 0;
  TCPRenoReorder = 0;
  TCPTSReorder = 0;
  TCPFullUndo = 0;
  TCPPartialUndo = 0;
  TCPDSACKUndo = 0;
  TCPLossUndo = 0;
  TCPLostRetransmit = 0;
  TCPRenoFailures = 0;
  TCPSackFailures = 0;
  TCPLossFailures = 0;
  TCPFastRetrans = 0;
  TCPSlowStartRetrans = 0;
  TCPTimeouts = 0;
  TCPLossProbes = 0;
  TCPLossProbeRecovery = 0;
  TCPRenoRecoveryFail = 0;
  TCPSackRecoveryFail = 0;
  TCPRcvCollapsed = 0;
  TCPBacklogCoalesce = 0;
  TCPDSACKOldSent = 0;
  TCPDSACKOfoSent = 0;
  TCPDSACKRecv = 0;
  TCPDSACKOfoRecv = 0;
  TCPAbortOnData = 0;
  TCPAbortOnClose = 0;
  TCPAbortOnMemory = 0;
  TCPAbortOnTimeout = 0;
  TCPAbortOnLinger = 0;
  TCPAbortFailed = 0;
  TCPMemoryPressures = 0;
  TCPMemoryPressuresChrono = 0;
  TCPSACKDiscard = 0;
  TCPDSACKIgnoredOld = 0;
  TCPDSACKIgnoredNoUndo = 0;
  TCPSpuriousRTOs = 0;
  TCPMD5NotFound = 0;
  TCPMD5Unexpected = 0;
  TCPMD5Failure = 0;
  TCPSackShifted = 0;
  TCPSackMerged = 0;
  TCPSackShiftFallback = 0;
  TCPBacklogDrop = 0;
  PFMemallocDrop = 0;
  TCPMinTTLDrop = 0;
  TCPDeferAcceptDrop = 0;
  IPReversePathFilter = 0;
  TCPTimeWaitOverflow = 0;
  TCPReqQFullDoCookies = 0;
  TCPReqQFullDrop = 0;
  TCPRetransFail = 0;
  TCPRcvCoalesce = 0;
  TCPOFOQueue = 0;
  TCPOFODrop = 0;
  TCPOFOMerge = 0;
  TCPChallengeACK = 0;
  TCPSYNChallenge = 0;
  TCPFastOpenActive = 0;
  TCPFastOpenActiveFail = 0;
  TCPFastOpenPassive = 0;
  TCPFastOpenPassiveFail = 0;
  TCPFastOpenListenOverflow = 0;
  TCPFastOpenCookieReqd = 0;
  TCPFastOpenBlackhole = 0;
  TCPSpuriousRtxHostQueues = 0;
  BusyPollRxPackets = 0;
  TCPAutoCorking = 0;
  TCPFromZeroWindowAdv = 0;
  TCPToZeroWindowAdv = 0;
  TCPWantZeroWindowAdv = 0;
  TCPSynRetrans = 0;
  TCPOrigDataSent = 0;
  TCPHystartTrainDetect = 0;
  TCPHystartTrainCwnd = 0;
  TCPHystartDelayDetect = 0;
  TCPHystartDelayCwnd = 0;
  TCPACKSkippedSynRecv = 0;
  TCPACKSkippedPAWS = 0;
  TCPACKSkippedSeq = 0;
  TCPACKSkippedFinWait2 = 0;
  TCPACKSkippedTimeWait = 0;
  TCPACKSkippedChallenge = 0;
  TCPWinProbe = 0;
  TCPKeepAlive = 0;
  TCPMTUPFail = 0;
  TCPMTUPSuccess = 0;
  TCPDelivered = 0;
  TCPDeliveredCE = 0;
  TCPAckCompressed = 0;
  TCPZeroWindowDrop = 0;
  TCPRcvQDrop = 0;
  TCPWqueueTooBig = 0;
  TCPFastOpenPassiveAltKey = 0;
  TcpTimeoutRehash = 0;
  TcpDuplicateDataRehash = 0;
  TCPDSACKRecvSegs = 0;
  TCPDSACKIgnoredDubious = 0;
  TCPMigrateReqSuccess = 0;
  TCPMigrateReqFailure = 0;
  TCPPLBRehash = 0;
  TCPAORequired = 0;
  TCPAOBad = 0;
  TCPAOKeyNotFound = 0;
  TCPAOGood = 0;
  TCPAODroppedIcmps = 0;
  BeyondWindow = 0;
}
