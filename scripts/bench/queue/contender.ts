/** What every queue is asked to do, so that the scenarios do not know which one they measure. */

/** How a scenario's workers take jobs. */
export interface Load {
  /** Connections that work at the same time. */
  workers: number;
  /** Jobs that one takes in a call; 1 = one at a time. */
  batch: number;
  /** Jobs to be run until the clock stops. */
  jobs: number;
}

export interface Contender {
  readonly name: string;
  /** Creates schema and fixtures on the benchmark's Postgres. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Forgets all jobs, those that are over too. */
  clear(): Promise<void>;
  /** Makes `count` jobs wait, as fast as possible, outside of any measurement. */
  fill(count: number): Promise<void>;
  /** Makes `count` jobs that are over, where they are kept at all. */
  addFinished(count: number): Promise<void>;
  /** One call that enqueues one job. */
  enqueue(connection: number): Promise<void>;
  /** One call that enqueues `count` jobs. */
  enqueueMany(count: number): Promise<void>;
  /** Runs empty jobs that wait already, and returns the seconds from the first start to the last acknowledged end. */
  run(load: Load): Promise<number>;
  /** One worker, one job at a time: milliseconds that each claim took. */
  claimLatencies(jobs: number): Promise<number[]>;
  /** A worker waits on an empty queue; milliseconds from the call that enqueues to the start, for each job. */
  startLatencies(jobs: number): Promise<number[]>;
}
