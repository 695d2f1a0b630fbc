/** At most `most` tasks at a time; each can be called off by its key. */
export class Tasks {
  private readonly running = new Map<string, AbortController>();

  constructor(
    private readonly most: number,
    /** A task is over. */
    private readonly onRoom: () => void,
  ) {}

  get hasRoom(): boolean {
    return this.running.size < this.most;
  }

  has(key: string): boolean {
    return this.running.has(key);
  }

  /** `run` handles its own failures. */
  start(key: string, run: (signal: AbortSignal) => Promise<void>): void {
    const controller = new AbortController();
    this.running.set(key, controller);
    void run(controller.signal).finally(() => {
      if (this.running.get(key) === controller) this.running.delete(key);
      this.onRoom();
    });
  }

  /** Calls off all tasks but those. */
  keep(wanted: ReadonlySet<string>): void {
    for (const [key, controller] of this.running) {
      if (wanted.has(key)) continue;
      controller.abort();
      this.running.delete(key);
    }
  }
}
