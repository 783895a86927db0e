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

export class CommitQueue<Group> {
  readonly #commit: CommitGroup<Group>;
  #waiting: QueuedChange<Group>[] = [];
  #running: Promise<void> | undefined;
  #refusal: Error | undefined;

  constructor(commit: CommitGroup<Group>) {
    this.#commit = commit;
  }

  /** Queues a change. Once the queue is stopped, settles it at once with the reason. */
  add(change: QueuedChange<Group>): void {
    if (this.#refusal !== undefined) {
      change.settle({ committed: false, reason: this.#refusal });
      return;
    }
    this.#waiting.push(change);
    this.#running ??= this.#drain();
  }

  /** Refuses what waits and all that comes, with `reason`; resolves when the commit under way has ended. */
  async stop(reason: Error): Promise<void> {
    this.#refusal = reason;
    this.#settleWaiting({ committed: false, reason });
    await this.#running;
  }

  async #drain(): Promise<void> {
    // What the same moment queues goes into one group.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#commitGroup();
    this.#running = undefined;
  }

  async #commitGroup(): Promise<void> {
    const group: QueuedChange<Group>[] = [];
    const next = (): QueuedChange<Group> | undefined => {
      const change = this.#waiting.shift();
      if (change !== undefined) group.push(change);
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
