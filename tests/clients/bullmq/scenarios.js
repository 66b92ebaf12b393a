// Runs one scenario of BullMQ against a server:  node scenarios.js NAME PORT
//
// Exit code 0 and no output if it came out as it must: the library warns on the console (as about the server's version
// or its eviction policy). An error event and a wait beyond LIMIT_MS are failures. BullMQ is found by NODE_PATH.
'use strict';

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { Redis } = require('ioredis');
const { Queue, Worker, QueueEvents, FlowProducer, UnrecoverableError } = require('bullmq');

const LIMIT_MS = 60_000;
const [name, port] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const opened = [];

function fail(error) {
  process.stdout.write(`${name}: ${error.stack}\n`);
  process.exit(1);
}

// Keeps what must be closed at the end, the last first.
function open(thing) {
  thing.on('error', fail);
  thing.setMaxListeners(0); // Each job that is waited for is one.
  opened.unshift(thing);
  return thing;
}

const queue = (queueName, options = {}) => open(new Queue(queueName, { connection, ...options }));
const worker = (queueName, run, options = {}) => open(new Worker(queueName, run, { connection, ...options }));

async function events(queueName) {
  const stream = open(new QueueEvents(queueName, { connection, blockingTimeout: 1000 }));
  await stream.waitUntilReady();
  return stream;
}

async function eventually(check, what) {
  eventually.last = what;
  for (;;) {
    const value = await check();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const scenarios = {
  // Results come back by the stream of events (XREAD BLOCK), in the order in which one worker takes the jobs.
  async jobs() {
    const q = queue('jobs');
    const stream = await events('jobs');
    const jobs = await q.addBulk(Array.from({ length: 200 }, (_, i) => ({ name: 'square', data: { i } })));
    assert.equal(await q.count(), 200);
    const seen = [];
    worker('jobs', async (job) => {
      seen.push(job.data.i);
      await job.updateProgress(50);
      await job.log(`squared ${job.data.i}`);
      return job.data.i ** 2;
    });
    const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(stream, LIMIT_MS)));
    assert.deepEqual(results, jobs.map((job) => job.data.i ** 2));
    assert.deepEqual(seen, jobs.map((job) => job.data.i), 'first in, first out');
    assert.deepEqual((await q.getJobLogs(jobs[7].id)).logs, ['squared 7']);
    const counts = await q.getJobCounts();
    assert.equal(counts.completed, 200);
    assert.equal(counts.waiting + counts.active + counts.delayed + counts.failed, 0);

    // A job of the same id is not added twice.
    await q.pause();
    await q.add('once', { n: 1 }, { jobId: 'the-one' });
    await q.add('once', { n: 2 }, { jobId: 'the-one' });
    assert.equal((await q.getJobs(['waiting', 'paused'])).length, 1);
    assert.deepEqual((await q.getJob('the-one')).data, { n: 1 });
    await q.obliterate({ force: true });
    assert.equal(await q.count(), 0);
    const redis = new Redis(connection);
    assert.deepEqual(await redis.keys('bull:jobs:*'), [], 'nothing is left of an obliterated queue');
    await redis.quit();
  },

  // Eight workers at once take each job once.
  async concurrency() {
    const q = queue('many');
    const stream = await events('many');
    const runs = new Map();
    for (let i = 0; i < 2; i++) {
      worker('many', async (job) => { runs.set(job.id, (runs.get(job.id) || 0) + 1); }, { concurrency: 4 });
    }
    const jobs = await q.addBulk(Array.from({ length: 500 }, () => ({ name: 'touch', data: {} })));
    await Promise.all(jobs.map((job) => job.waitUntilFinished(stream, LIMIT_MS)));
    assert.equal(runs.size, 500);
    assert.deepEqual(new Set(runs.values()), new Set([1]));
  },

  // A delayed job isn't early; a promoted one comes at once.
  async delayed() {
    const q = queue('later');
    const stream = await events('later');
    const started = new Map();
    const added = Date.now();
    const job = await q.add('soon', {}, { delay: 1000 });
    const far = await q.add('far', {}, { delay: 3_600_000 });
    assert.equal(await job.getState(), 'delayed');
    worker('later', async (run) => { started.set(run.id, Date.now()); });
    await job.waitUntilFinished(stream, LIMIT_MS);
    assert.ok(started.get(job.id) - added >= 1000, `it ran after ${started.get(job.id) - added} ms`);
    assert.equal(await far.getState(), 'delayed');
    await far.promote();
    await far.waitUntilFinished(stream, LIMIT_MS);
    assert.deepEqual([...started.keys()], [job.id, far.id]);
  },

  // Retries wait longer each time; what can't be mended isn't tried again.
  async retries() {
    const q = queue('retries');
    const stream = await events('retries');
    const times = [];
    worker('retries', async (job) => {
      if (job.name === 'hopeless') throw new UnrecoverableError('no use');
      times.push(Date.now());
      if (times.length < 3) throw new Error(`try ${times.length}`);
      return times.length;
    });
    const job = await q.add('third', {}, { attempts: 5, backoff: { type: 'exponential', delay: 200 } });
    assert.equal(await job.waitUntilFinished(stream, LIMIT_MS), 3);
    assert.ok(times[1] - times[0] >= 200 && times[2] - times[1] >= 400, `${times}`);
    const lost = await q.add('hopeless', {}, { attempts: 5 });
    await assert.rejects(lost.waitUntilFinished(stream, LIMIT_MS), /no use/);
    const failed = await q.getJob(lost.id);
    assert.equal(failed.attemptsMade, 1);
    assert.equal(await failed.getState(), 'failed');
    assert.equal((await q.getJob(job.id)).attemptsMade, 3);

    // By hand.
    times.length = 0;
    const once = await q.add('again', {});
    await assert.rejects(once.waitUntilFinished(stream, LIMIT_MS), /try 1/);
    times.push(0);
    await (await q.getJob(once.id)).retry('failed');
    await eventually(async () => (await once.getState()) === 'completed', 'the retried job');
  },

  // The smaller the number, the sooner; jobs of one priority in their order.
  async priorities() {
    const q = queue('ranked');
    const stream = await events('ranked');
    const jobs = [];
    for (const [label, priority] of [['c', 10], ['a', 1], ['b', 5], ['d', 10], ['first', undefined], ['e', 2_000_000]]) {
      jobs.push(await q.add(label, {}, { priority }));
    }
    await jobs[5].changePriority({ priority: 2 });
    assert.equal((await q.getJobCounts('prioritized')).prioritized, 5);
    const seen = [];
    worker('ranked', async (job) => { seen.push(job.name); });
    await Promise.all(jobs.map((job) => job.waitUntilFinished(stream, LIMIT_MS)));
    assert.deepEqual(seen, ['first', 'a', 'e', 'b', 'c', 'd']);
  },

  // Job schedulers: by interval, with a limit, and by a cron pattern; updated and removed.
  async schedulers() {
    const q = queue('cron');
    const runs = [];
    worker('cron', async (job) => { runs.push([job.name, Date.now()]); });
    await q.upsertJobScheduler('every', { every: 300, limit: 4 }, { name: 'tick', data: { n: 1 } });
    await q.upsertJobScheduler('cron', { pattern: '* * * * * *' }, { name: 'second' });
    await q.upsertJobScheduler('yearly', { pattern: '0 0 1 1 *', tz: 'Europe/Berlin' }, { name: 'year' });
    assert.equal(await q.getJobSchedulersCount(), 3);
    await eventually(() => runs.filter(([job]) => job === 'tick').length >= 4, 'four ticks');
    await eventually(() => runs.filter(([job]) => job === 'second').length >= 2, 'two seconds');
    const ticks = runs.filter(([job]) => job === 'tick').map(([, at]) => at);
    assert.ok(ticks[3] - ticks[0] >= 3 * 300 - 350, `${ticks}`);
    assert.ok(await q.removeJobScheduler('cron'));
    const yearly = await q.getJobScheduler('yearly');
    assert.equal(yearly.pattern, '0 0 1 1 *');
    assert.ok(yearly.next > Date.now());
    assert.ok(await q.removeJobScheduler('yearly'));
    assert.ok(!(await q.removeJobScheduler('yearly')));
    const before = runs.length;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.ok(runs.length - before <= 1, 'what is removed or used up runs no more');
  },

  // A parent waits for its children, over several queues and levels; a failed child fails it.
  async flows() {
    const q = queue('parents');
    queue('children');
    const stream = await events('parents');
    worker('children', async (job) => {
      if (job.data.fails) throw new UnrecoverableError('a child failed');
      const below = Object.values(await job.getChildrenValues());
      return below.reduce((sum, n) => sum + n, job.data.n);
    }, { concurrency: 3 });
    worker('parents', async (job) => Object.values(await job.getChildrenValues()).reduce((sum, n) => sum + n, 0));
    const producer = open(new FlowProducer({ connection }));
    const leaf = (n) => ({ name: 'leaf', queueName: 'children', data: { n } });
    const flow = await producer.add({
      name: 'sum',
      queueName: 'parents',
      children: [leaf(1), leaf(2), { ...leaf(3), children: [leaf(10), leaf(20), leaf(30)] }],
    });
    assert.equal(await flow.job.waitUntilFinished(stream, LIMIT_MS), 66);
    assert.deepEqual(await flow.job.getDependenciesCount(), { processed: 3, unprocessed: 0, failed: 0, ignored: 0 });

    const broken = await producer.add({
      name: 'sum',
      queueName: 'parents',
      children: [leaf(1), { name: 'bad', queueName: 'children', data: { fails: true }, opts: { failParentOnFailure: true } }],
    });
    await assert.rejects(broken.job.waitUntilFinished(stream, LIMIT_MS), /child .* failed/);
    const tree = await producer.getFlow({ id: flow.job.id, queueName: 'parents', depth: 3 });
    assert.equal(tree.children.length, 3);
    assert.equal((await q.getFailed()).length, 1);
  },

  // At most four jobs in 500 ms, over two workers; and a worker that says itself that it must wait.
  async limiter() {
    const q = queue('limited');
    const stream = await events('limited');
    const starts = [];
    const limiter = { max: 4, duration: 500 };
    let asked = false;
    const run = (me) => async (job) => {
      if (job.name === 'manual' && !asked) {
        asked = true;
        await me().rateLimit(700);
        throw Worker.RateLimitError();
      }
      starts.push(Date.now());
    };
    const workers = [0, 1].map((i) => worker('limited', run(() => workers[i]), { limiter, concurrency: 4 }));
    const jobs = await q.addBulk(Array.from({ length: 16 }, () => ({ name: 'plain', data: {} })));
    await Promise.all(jobs.map((job) => job.waitUntilFinished(stream, LIMIT_MS)));
    starts.sort((a, b) => a - b);
    assert.equal(starts.length, 16);
    // The server counts by its own clock: a window lies between its first job's start and the end of its time.
    assert.ok(starts[15] - starts[0] >= 3 * 500 - 250, `${starts.map((at) => at - starts[0])}`);

    const before = Date.now();
    const manual = await q.add('manual', {});
    await manual.waitUntilFinished(stream, LIMIT_MS);
    assert.ok(Date.now() - before >= 700);
    assert.equal((await q.getJob(manual.id)).attemptsMade, 1, 'waiting is no failure');
  },

  // A paused queue hands out nothing; a paused worker takes nothing, others do.
  async pausing() {
    const q = queue('paused');
    const stream = await events('paused');
    const seen = [];
    const one = worker('paused', async () => { seen.push('one'); });
    await one.waitUntilReady();
    await q.pause();
    const job = await q.add('held', {});
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.ok(await q.isPaused());
    assert.deepEqual(seen, []);
    const resumed = once(stream, 'resumed');
    await q.resume();
    await resumed;
    await job.waitUntilFinished(stream, LIMIT_MS);
    await one.pause();
    const two = worker('paused', async () => { seen.push('two'); });
    for (let i = 0; i < 5; i++) await (await q.add('more', {})).waitUntilFinished(stream, LIMIT_MS);
    assert.deepEqual(seen, ['one', 'two', 'two', 'two', 'two', 'two']);
    one.resume();
    await two.close();
    await (await q.add('last', {})).waitUntilFinished(stream, LIMIT_MS);
    assert.equal(seen.at(-1), 'one');
  },

  // Sets of job kinds: deduplication, removal on completion, cleaning, metrics.
  async keeping() {
    const q = queue('kept');
    const stream = await events('kept');
    await q.pause();
    const first = await q.add('same', {}, { deduplication: { id: 'd', ttl: 5000 } });
    const second = await q.add('same', {}, { deduplication: { id: 'd', ttl: 5000 } });
    assert.equal(first.id, second.id);
    await q.resume();
    worker('kept', async () => 'done', { metrics: { maxDataPoints: 60 } });
    await first.waitUntilFinished(stream, LIMIT_MS);
    const jobs = [];
    for (let i = 0; i < 20; i++) jobs.push(await q.add('kept', { i }, { removeOnComplete: { count: 5 } }));
    await Promise.all(jobs.map((job) => eventually(async () => {
      const state = await job.getState();
      return state === 'completed' || state === 'unknown';
    }, 'the end of a job')));
    await eventually(async () => (await q.getCompletedCount()) === 5, 'five kept');
    assert.ok(Array.isArray((await q.getMetrics('completed')).data));
    assert.equal((await q.clean(0, 100, 'completed')).length, 5);
    assert.equal(await q.getCompletedCount(), 0);
  },

  // A worker that dies in the middle loses no job: its lock runs out, another worker finds and repeats it.
  async stalled() {
    const q = queue('stalled');
    const stream = await events('stalled');
    const stalls = [];
    stream.on('stalled', ({ jobId }) => stalls.push(jobId));
    const child = fork(__filename, ['stuck', port], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const job = await q.add('long', {});
    const [started] = await once(child, 'message');
    assert.equal(started, job.id);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(await job.getState(), 'active');
    worker('stalled', async () => 'by the second', { lockDuration: 1000, stalledInterval: 500 });
    assert.equal(await job.waitUntilFinished(stream, LIMIT_MS), 'by the second');
    await eventually(() => stalls.length, 'the event of the stall');
    assert.deepEqual(stalls, [job.id]);
    assert.equal((await q.getJob(job.id)).stalledCounter, 1);
  },

  // The worker of `stalled` that never comes to an end.
  async stuck() {
    worker('stalled', async (job) => {
      process.send(job.id);
      await new Promise(() => {});
    }, { lockDuration: 1000, stalledInterval: 500 });
    await new Promise(() => {});
  },
};

async function main() {
  const limit = setTimeout(() => fail(new Error(`not done after ${LIMIT_MS} ms; waits for: ${eventually.last}`)), LIMIT_MS);
  await scenarios[name]();
  for (const thing of opened) await thing.close();
  clearTimeout(limit);
}

main().catch(fail);
