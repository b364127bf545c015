// Draws the timeline of a run and searches its jobs, from the data that stands in the page.
//
// It writes texts and draws on a canvas; it never makes markup of a text. Work is done in pieces, so that the page answers meanwhile.
"use strict";
(() => {
  const WORDS = ["waiting", "ready", "running", "backing off", "success", "failed", "skipped", "cached", "cancelled", "aborted"];
  const SIGNS = ["…", "…", "…", "…", "✓", "✗", "-", "=", "!", "!"];
  const TONES = ["waiting", "waiting", "running", "failed", "success", "failed", "skipped", "cached", "cancelled", "cancelled"];
  const BACKING_OFF = 3, SUCCESS = 4, FAILED = 5;
  const MOST_ROWS = 64, SHOWN = 25, PIECE_MS = 30;

  const pause = () => new Promise((resolve) => setTimeout(resolve, 0));
  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const number = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });

  function duration(seconds) {
    if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds), two = (value) => String(value).padStart(2, "0");
    if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
    const minutes = Math.round(whole / 60);
    if (minutes < 1440) return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`;
    const hours = Math.round(whole / 3600);
    return `${Math.floor(hours / 24)}d${two(hours % 24)}h`;
  }

  function size(bytes) {
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
      if (bytes < 1023.5) return `${unit === "B" || bytes >= 9.95 ? bytes.toFixed(0) : bytes.toFixed(1)} ${unit}`;
      bytes /= 1024;
    }
    return `${bytes.toFixed(1)} TiB`;
  }

  // --- the data: a line of JSON, then columns of 32-bit floats ---

  async function unpacked() {
    const text = atob(document.getElementById("data").textContent);
    await pause();
    const packed = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) packed[at] = text.charCodeAt(at);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const buffer = await new Response(stream).arrayBuffer();
    await pause();
    const end = new Uint8Array(buffer).indexOf(10);
    const data = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 0, end)));
    let at = end + 1;
    const column = (length) => {
      const values = new Float32Array(buffer, at, length);
      at += 4 * length;
      return values;
    };
    await pause();
    data.names = data.names ? data.names.split(" ") : [];
    for (const name of ["start", "took", "cpu", "peak"]) data[name] = column(data.jobs);
    const tries = data.tries[0].length;
    data.tries = { jobs: data.tries[0], states: data.tries[1], start: column(tries), took: column(tries) };
    data.tried = new Map(data.attempts[0].map((job, index) => [job, data.attempts[1][index]]));
    data.why = new Map(data.whys[0].map((job, index) => [job, data.texts[data.whys[1][index]]]));
    return data;
  }

  const attempts = (data, job) => data.tried.get(job) ?? (data.took[job] > 0 || data.start[job] >= 0 ? 1 : 0);

  // --- jobs: found by name and state, the first of an order ---

  function search(data) {
    const found = document.getElementById("found"), place = document.getElementById("search");
    const body = found.querySelector("tbody"), status = element("p", { role: "status", class: "note" });
    const name = element("input", { type: "search", id: "name", size: "24" });
    const state = element("select", { id: "state" }, element("option", { value: "" }, "any state"));
    for (const digit of [...new Set(data.states)].sort()) state.append(element("option", { value: digit }, WORDS[digit]));
    const orders = { "": "order of the batch", took: "slowest first", tried: "most attempts first", peak: "most memory first", cpu: "most CPU time first" };
    const order = element("select", { id: "order" });
    for (const [value, text] of Object.entries(orders)) order.append(element("option", { value }, text));
    const labelled = (text, field) => element("label", {}, `${text} `, field);
    place.append(element("div", { class: "tools" }, labelled("name", name), labelled("state", state), labelled("order", order)), status);

    // The first jobs of an order, without sorting all of them: what is no better than the last of those is passed over.
    function first(matches, value) {
      const best = [];
      let matching = 0;
      for (let job = 0; job < data.jobs; job++) {
        if (!matches(job)) continue;
        matching++;
        if (value === null) {
          if (best.length < SHOWN) best.push(job);
          continue;
        }
        if (best.length === SHOWN && value(job) <= value(best[SHOWN - 1])) continue;
        let at = best.length;
        while (at > 0 && value(best[at - 1]) < value(job)) at--;
        best.splice(at, 0, job);
        if (best.length > SHOWN) best.pop();
      }
      return [best, matching];
    }

    function row(job) {
      const digit = data.states[job], tries = attempts(data, job);
      const sign = element("span", { class: `sign ${TONES[digit]}`, "aria-hidden": "true" }, SIGNS[digit]);
      const cell = (text) => element("td", { class: "number" }, text);
      return element(
        "tr", {}, element("td", {}, sign, WORDS[digit]), element("th", { scope: "row" }, element("code", {}, data.names[job])),
        cell(tries ? duration(data.took[job]) : ""), cell(tries ? String(tries) : ""), cell(data.peak[job] ? size(data.peak[job]) : ""),
        element("td", {}, data.why.get(job) ?? ""),
      );
    }

    function show() {
      const wanted = name.value.trim().toLowerCase(), digit = state.value;
      const lower = (job) => data.names[job].toLowerCase();
      const matches = (job) => (!digit || data.states[job] === digit) && (!wanted || lower(job).includes(wanted));
      const value = { took: (job) => data.took[job], tried: (job) => attempts(data, job), peak: (job) => data.peak[job], cpu: (job) => data.cpu[job] };
      const [best, matching] = first(matches, value[order.value] ?? null);
      body.replaceChildren(...best.map(row));
      status.textContent = `${number(matching)} of ${number(data.jobs)} jobs${matching > best.length ? `; the first ${best.length} are shown` : ""}`;
      found.hidden = !best.length;
    }

    let later = 0;
    name.addEventListener("input", () => { clearTimeout(later); later = setTimeout(show, 120); });
    state.addEventListener("change", show);
    order.addEventListener("change", show);
    const look = (text) => { name.value = text; state.value = ""; show(); place.scrollIntoView(); name.focus(); };
    const linked = () => {
      const job = new URLSearchParams(location.hash.slice(1)).get("job");
      if (job) look(job);
    };
    window.addEventListener("hashchange", linked);
    place.hidden = false;
    if (data.jobs > 30 && data.states.includes(String(FAILED))) state.value = String(FAILED);
    show();
    linked();
    return look;
  }

  // --- the timeline: attempts in rows that do not overlap, and curves below them, over the time in which something ran ---

  class Time {
    constructor(pieces) {
      this.pieces = pieces;
      this.before = [0];
      for (const [start, stop] of pieces) this.before.push(this.before.at(-1) + stop - start);
      this.total = this.before.at(-1) || 1e-3;
    }
    // from seconds since the start to seconds of work, and back
    work(at) {
      if (this.pieces.length === 1) return at;
      let piece = this.pieces.length - 1;
      while (piece > 0 && this.pieces[piece][0] > at) piece--;
      const [start, stop] = this.pieces[piece];
      return this.before[piece] + Math.min(Math.max(at, start), stop) - start;
    }
    since(work) {
      let piece = this.pieces.length - 1;
      while (piece > 0 && this.before[piece] > work) piece--;
      return this.pieces[piece][0] + work - this.before[piece];
    }
  }

  // Long work in pieces: waits for a moment whenever it has gone on for some time.
  function breather() {
    let began = performance.now();
    return async () => {
      if (performance.now() - began < PIECE_MS) return;
      await pause();
      began = performance.now();
    };
  }

  async function rowsOf(data, time) {
    const breathe = breather();
    const plain = data.jobs === data.total ? data.jobs : 0, most = plain + data.tries.jobs.length;
    const jobs = new Uint32Array(most), states = new Uint8Array(most), starts = new Float64Array(most), ends = new Float64Array(most);
    let spans = 0;
    const add = (job, state, start, took) => {
      jobs[spans] = job;
      states[spans] = state;
      starts[spans] = time.work(start);
      ends[spans] = Math.min(starts[spans] + took, time.total);
      spans++;
    };
    for (let job = 0; job < plain; job++) {
      if (data.start[job] >= 0) add(job, data.states.charCodeAt(job) - 48, data.start[job], data.took[job]);
      if (job % 5000 === 0) await breathe();
    }
    data.tries.jobs.forEach((job, index) => add(job, data.tries.states[index], data.tries.start[index], data.tries.took[index]));
    // Sorted without a comparing function: the time in the upper bits, the number in the lower 20.
    const keys = new Float64Array(spans);
    for (let span = 0; span < spans; span++) keys[span] = Math.floor((starts[span] / time.total) * 2 ** 32) * 2 ** 20 + span;
    await breathe();
    keys.sort();
    const free = [], rows = [], close = 5e-4;
    for (let at = 0; at < spans; at++) {
      const span = keys[at] % 2 ** 20;
      let row = 0;
      while (row < free.length && free[row] > starts[span] + close) row++;
      free[row] = ends[span];
      (rows[row] ??= []).push(span);
      if (at % 1000 === 0) await breathe();
    }
    if (rows.length <= MOST_ROWS) return { jobs, states, starts, ends, bands: rows, rows: rows.length };
    const bands = Array.from({ length: MOST_ROWS }, () => []);
    rows.forEach((row, number) => { for (const span of row) bands[Math.floor((number * MOST_ROWS) / rows.length)].push(span); });
    for (const band of bands) band.sort((one, other) => starts[one] - starts[other]);
    return { jobs, states, starts, ends, bands, rows: rows.length };
  }

  async function timeline(data, look) {
    const place = document.getElementById("drawn");
    if (!place) return;
    const time = new Time(data.pieces), spans = await rowsOf(data, time);
    const bins = data.curves.running.length, binWidth = time.total / bins;
    const strips = [
      ["running", "running", "running", number], ["waiting", "waiting for a slot or a resource", "waiting", number],
      ["cpu", "processors busy", "success", number], ["memory", "memory: the peaks of what ran, added up", "cached", size],
    ].map(([key, text, tone, words]) => ({ values: data.curves[key], text, tone, words, most: Math.max(...data.curves[key]) })).filter((strip) => strip.most > 0);
    const bandHeight = spans.bands.length ? Math.max(4, Math.min(16, Math.floor(288 / spans.bands.length))) : 0;
    const STRIP = 40, LABEL = 16, AXIS = 20;
    const top = spans.bands.length ? LABEL : 0;
    const height = top + spans.bands.length * bandHeight + strips.length * (STRIP + LABEL) + AXIS;

    const canvas = element("canvas", { tabindex: "0", role: "slider", "aria-label": "Moment of the run", "aria-valuemin": "0", "aria-valuemax": String(Math.ceil(time.total)) });
    canvas.style.height = `${height}px`;
    const readout = element("p", { class: "readout" });
    const button = (text, label, act) => {
      const made = element("button", { type: "button", "aria-label": label }, text);
      made.addEventListener("click", act);
      return made;
    };
    const tools = element("div", { class: "tools" }, button("+", "zoom in", () => zoom(0.5)), button("−", "zoom out", () => zoom(2)), button("all", "show all of it", () => zoom(Infinity)));
    tools.append(element("small", {}, "point at a job to see it, click to find it below; keys: arrows, + − 0, Enter"));
    place.append(tools, canvas, readout);
    place.hidden = false;

    let from = 0, to = time.total, moment = null, row = 0, asked = false, width = 0;
    const x = (work, width) => ((work - from) / (to - from)) * width;

    function zoom(factor) {
      const middle = moment === null ? (from + to) / 2 : moment;
      const wide = Math.min(time.total, Math.max((to - from) * factor, time.total / 1e4));
      from = Math.min(Math.max(0, middle - wide / 2), time.total - wide);
      to = from + wide;
      redraw();
    }

    function spanAt(work, band) {
      const here = spans.bands[band] ?? [], near = ((to - from) / canvas.clientWidth) * 2;
      let low = 0, high = here.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (spans.starts[here[middle]] <= work + near) low = middle + 1;
        else high = middle;
      }
      for (let at = low - 1; at >= Math.max(0, low - 200); at--) if (spans.ends[here[at]] >= work - near) return here[at];
      return -1;
    }

    function told() {
      if (moment === null) return "";
      const bin = Math.min(bins - 1, Math.floor(moment / binWidth));
      const parts = strips.map((strip) => `${strip.words(strip.values[bin])} ${{ running: "running", waiting: "waiting", success: "processors", cached: "of memory" }[strip.tone]}`);
      const since = time.since(moment), clock = new Date((data.began + since) * 1000).toLocaleTimeString("en-GB");
      let text = `${duration(since)} after the start (${clock}): ${parts.join(", ")}`;
      const span = spanAt(moment, row);
      if (span >= 0) {
        const job = spans.jobs[span], left = spans.states[span];
        text += ` · ${data.names[job]}: ${left === BACKING_OFF ? "failed, tried again" : WORDS[left]}, ${duration(spans.ends[span] - spans.starts[span])}`;
        if (data.why.has(job)) text += ` · ${data.why.get(job)}`;
      }
      return text;
    }

    function redraw() {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; draw(); });
    }

    function draw() {
      width = place.clientWidth;
      const wide = width - 32;
      if (wide <= 0) return;
      const scale = Math.min(window.devicePixelRatio || 1, 8000 / wide, 4000 / height);
      canvas.width = Math.round(wide * scale);
      canvas.height = Math.round(height * scale);
      const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(`--${name}`).trim();
      const colours = TONES.map(colour), soft = colour("soft"), line = colour("line");
      pen.scale(scale, scale);
      pen.font = "12px system-ui, sans-serif";
      pen.textBaseline = "alphabetic";
      const label = (text, y) => { pen.fillStyle = soft; pen.fillText(text, 0, y + 11, wide); };
      let y = 0;
      if (top) {
        label(spans.rows > MOST_ROWS ? `jobs: ${number(spans.rows)} at once, drawn in ${MOST_ROWS} rows` : "jobs: a row is what ran one after the other", y);
        y += top;
      }
      for (const band of spans.bands) {
        pen.fillStyle = colour("track");
        pen.fillRect(0, y, wide, bandHeight - 1);
        paint(pen, band, y, wide, colours);
        y += bandHeight;
      }
      for (const strip of strips) {
        label(`${strip.text}, at most ${strip.words(strip.most)}`, y);
        y += LABEL;
        pen.fillStyle = colour(strip.tone);
        for (let bin = Math.max(0, Math.floor(from / binWidth)); bin < bins && bin * binWidth <= to; bin++) {
          const tall = (strip.values[bin] / strip.most) * (STRIP - 4), left = Math.max(0, Math.round(x(bin * binWidth, wide)));
          pen.fillRect(left, y + STRIP - 4 - tall, Math.round(x((bin + 1) * binWidth, wide)) - left, tall);
        }
        if (strip.tone === "running" && !spans.bands.length) {
          pen.fillStyle = colour("failed");
          data.curves.failed.forEach((count, bin) => { if (count) pen.fillRect(x(bin * binWidth, wide), y + STRIP - 10, Math.max(2, x(binWidth + from, wide)), 6); });
        }
        pen.fillStyle = line;
        pen.fillRect(0, y + STRIP - 4, wide, 1);
        y += STRIP;
      }
      axis(pen, wide, y, soft);
      gaps(pen, wide, y, soft);
      if (moment !== null && moment >= from && moment <= to) {
        pen.fillStyle = colour("ink");
        pen.fillRect(x(moment, wide), 0, 1, y);
        if (spans.bands.length) pen.strokeRect(Math.max(0, x(moment, wide) - 4), top + row * bandHeight - 1, 8, bandHeight + 1);
      }
    }

    // A row pixel by pixel: however many jobs there are, it is drawn with no more strokes than it has pixels, and no failure is hidden.
    function paint(pen, band, y, wide, colours) {
      const pixels = new Uint8Array(Math.ceil(wide) + 1), scale = wide / (to - from);
      for (const span of band) {
        if (spans.ends[span] < from || spans.starts[span] > to) continue;
        const state = spans.states[span] + 1, bad = state === FAILED + 1 || state === BACKING_OFF + 1;
        const left = Math.max(0, Math.floor((spans.starts[span] - from) * scale));
        let right = Math.min(pixels.length, Math.max(left + (bad ? 2 : 1), Math.floor((spans.ends[span] - from) * scale)));
        if (right - left > 4) right--;
        for (let at = left; at < right; at++) if (bad || (pixels[at] !== FAILED + 1 && pixels[at] !== BACKING_OFF + 1)) pixels[at] = state;
      }
      for (let at = 0, start = 0; at < pixels.length; at++) {
        if (pixels[at] === pixels[at + 1]) continue;
        if (pixels[start]) {
          pen.fillStyle = colours[pixels[start] - 1];
          pen.globalAlpha = pixels[start] === BACKING_OFF + 1 ? 0.55 : 1;
          pen.fillRect(start, y, at + 1 - start, bandHeight - 1);
        }
        start = at + 1;
      }
      pen.globalAlpha = 1;
    }

    function axis(pen, wide, y, soft) {
      const least = ((to - from) / wide) * 90;
      const step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800, 2592000].find((one) => one >= least) ?? least;
      pen.fillStyle = soft;
      for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
        const left = x(at, wide), text = at === 0 ? "0" : duration(time.since(at));
        pen.fillRect(left, y, 1, 4);
        if (left + pen.measureText(text).width < wide) pen.fillText(text, left + 3, y + 14);
      }
    }

    function gaps(pen, wide, bottom, soft) {
      pen.strokeStyle = soft;
      pen.fillStyle = soft;
      time.before.slice(1, -1).forEach((work, index) => {
        if (work < from || work > to) return;
        const left = x(work, wide);
        pen.setLineDash([3, 3]);
        pen.beginPath();
        pen.moveTo(left, 0);
        pen.lineTo(left, bottom);
        pen.stroke();
        pen.setLineDash([]);
        pen.fillText(`${duration(time.pieces[index + 1][0] - time.pieces[index][1])} idle`, left + 3, bottom - 4);
      });
    }

    function move(work, band) {
      moment = Math.min(time.total, Math.max(0, work));
      row = Math.min(Math.max(0, band), Math.max(0, spans.bands.length - 1));
      readout.textContent = told();
      canvas.setAttribute("aria-valuenow", moment.toFixed(3));
      canvas.setAttribute("aria-valuetext", readout.textContent);
      redraw();
    }

    function find() {
      const span = moment === null ? -1 : spanAt(moment, row);
      if (span >= 0) look(data.names[spans.jobs[span]]);
    }

    canvas.addEventListener("pointermove", (event) => move(from + (event.offsetX / canvas.clientWidth) * (to - from), Math.floor((event.offsetY - top) / (bandHeight || 1))));
    canvas.addEventListener("click", (event) => { if (event.offsetY < top + spans.bands.length * bandHeight) find(); });
    canvas.addEventListener("focus", () => { if (moment === null) move(from, 0); });
    canvas.addEventListener("keydown", (event) => {
      const step = (to - from) / 100;
      const acts = {
        ArrowLeft: () => move(moment - step, row), ArrowRight: () => move(moment + step, row),
        ArrowUp: () => move(moment, row - 1), ArrowDown: () => move(moment, row + 1),
        Home: () => move(from, row), End: () => move(to, row), Enter: find,
        "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => zoom(Infinity),
      };
      if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      acts[event.key]();
      if (moment !== null && (moment < from || moment > to)) {  // the cursor takes the window with it
        const wide = to - from;
        from = Math.min(Math.max(0, moment - wide / 2), time.total - wide);
        to = from + wide;
      }
    });
    canvas.setAttribute("aria-valuenow", "0");
    canvas.setAttribute("aria-valuetext", "the start");
    new ResizeObserver(() => { if (place.clientWidth !== width) redraw(); }).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    draw();
  }

  async function main() {
    const data = await unpacked();
    const look = document.getElementById("found") ? search(data) : () => {};
    await pause();
    await timeline(data, look);
    document.documentElement.dataset.ready = "";
  }

  main().catch((error) => {  // an old browser: what is plain HTML is there all the same
    const place = document.getElementById("drawn");
    if (place) place.hidden = false;
    place?.append(`This browser cannot draw it: ${error.message}`);
  });
})();
