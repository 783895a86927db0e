/**
 * Group commit: changes queue while a commit runs, and the next commit takes all of them at once.
 * A plan runs when its group forms, against the state that is then durable plus the plans before it, so that
 * the result is that of some serial order, and a group that fails leaves nothing to unwind.
 * @module
 */

/** One queued change; `Group` is what its plan works on. */
export interface QueuedChange<Group> {
  /** Plans the change into the group, and keeps what {@link QueuedChange.settle} will answer. Does not throw. */
  run(group: Group): void;
  /** Called once the group is durable, or with why it is not. */
  settle(outcome: GroupOutcome): void;
}

export type GroupOutcome =
  { readonly committed: true } | { readonly committed: false; readonly reason: unknown };

/** Plans and commits one group: calls `next` for each change that it takes. Resolves when the group is durable. */
export type CommitGroup<Group> = (next: () => QueuedChange<Group> | undefined) => Promise<void>;

/** Work that shares no group: it runs between two of them. */
interface LoneWork {
  /** Settles its own promise; does not reject. */
  perform(): Promise<void>;
  settle(outcome: GroupOutcome): void;
}

export class CommitQueue<Group> {
  readonly #commit: CommitGroup<Group>;
  #waiting: (QueuedChange<Group> | LoneWork)[] = [];
  #running: Promise<void> | undefined;
  #refusal: Error | undefined;

  constructor(commit: CommitGroup<Group>) {
    this.#commit = commit;
  }

  /** True while changes wait or are being committed. */
  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** Queues a change. Once the queue is stopped, settles it at once with the reason. */
  add(change: QueuedChange<Group>): void {
    this.#push(change);
  }

  /**
   * Queues work that runs in its turn, while no commit does, and settles as it does. Once the queue is stopped,
   * rejects with the reason.
   */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#push({
        perform: () => work().then(resolve, reject),
        settle: (outcome) =>
          reject(outcome.committed ? new Error("commit: settled as a group") : outcome.reason),
      });
    });
  }

  /** Refuses what waits and all that comes, with `reason`; resolves when the commit under way has ended. */
  async stop(reason: Error): Promise<void> {
    this.#refusal = reason;
    this.#settleWaiting({ committed: false, reason });
    await this.#running;
  }

  #push(entry: QueuedChange<Group> | LoneWork): void {
    if (this.#refusal !== undefined) {
      entry.settle({ committed: false, reason: this.#refusal });
      return;
    }
    this.#waiting.push(entry);
    this.#running ??= this.#drain();
  }

  async #drain(): Promise<void> {
    // What the same moment queues goes into one group.
    await Promise.resolve();
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if ("run" in first) {
        await this.#commitGroup();
        continue;
      }
      this.#waiting.shift();
      await first.perform();
    }
    this.#running = undefined;
  }

  async #commitGroup(): Promise<void> {
    const group: QueuedChange<Group>[] = [];
    const next = (): QueuedChange<Group> | undefined => {
      const [change] = this.#waiting;
      if (change === undefined || !("run" in change)) return undefined;
      this.#waiting.shift();
      group.push(change);
      return change;
    };
    let outcome: GroupOutcome = { committed: true };
    try {
      await this.#commit(next);
    } catch (reason) {
      outcome = { committed: false, reason };
    }
    for (const change of group) change.settle(outcome);
    // A commit that fails before it takes any change would fail for those that wait as well.
    if (group.length === 0) this.#settleWaiting(outcome);
  }

  #settleWaiting(outcome: GroupOutcome): void {
    const settled = this.#waiting;
    this.#waiting = [];
    for (const change of settled) change.settle(outcome);
  }
}
