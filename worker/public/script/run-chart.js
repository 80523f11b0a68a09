/** A chart of an integration's runs: a column each, the latest at the right. It is readable without colour, by fill, hatching and a cross. */
import { element } from './view.js';
import { runText } from './security-words.js';
import { moment } from './words.js';

const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, GAP, HEIGHT] = [18, 6, 72];

function shape(tag, attributes, ...content) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

/** The pattern of what could not be checked. */
const hatching = () => shape('defs', {}, shape('pattern', { id: 'chart-unknown', width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
  shape('rect', { class: 'chart-ground', width: 5, height: 5 }), shape('path', { class: 'chart-hatch', d: 'M0 0v5' })));

/** A part of a column or of the legend. */
const part = (kind, box) => shape('rect', { class: `chart-${kind}`, ...(kind === 'unknown' && { fill: 'url(#chart-unknown)' }), ...box });

function column(run, x, unit) {
  const title = shape('title', {}, `${moment(run.finished_at ?? run.queued_at)}: ${runText(run)}`);
  const group = shape('g', {}, title, shape('rect', { class: 'chart-catch', x, y: 0, width: WIDTH, height: HEIGHT }));
  if (!run.results) {
    const y = HEIGHT - WIDTH + 3;
    const size = WIDTH - 6;
    group.append(run.state === 'done'
      ? shape('path', { class: 'chart-cross', d: `M${x + 3} ${y}l${size} ${size}m0 ${-size}l${-size} ${size}` })
      : shape('circle', { class: 'chart-open', cx: x + WIDTH / 2, cy: HEIGHT - 6, r: 4 }));
    return group;
  }
  const { passed, failed, unknown } = run.results;
  let y = HEIGHT;
  for (const [kind, count] of [['failed', failed], ['unknown', unknown], ['passed', passed]]) {
    // Even a small part is visible.
    const height = count ? Math.max(3, count * unit) : 0;
    y -= height;
    if (height) group.append(part(kind, { x: x + 0.75, y: y + 0.75, width: WIDTH - 1.5, height: height - 1.5 }));
  }
  return group;
}

/** Draws these runs, newest first. The label says what the chart shows. */
export function runChart(runs) {
  const shown = runs.toReversed();
  const most = Math.max(1, ...shown.map(({ results }) => (results ? results.total - results.not_applicable : 0)));
  const unit = (HEIGHT - 9) / most;
  const width = shown.length * (WIDTH + GAP) - GAP;
  const label = `The last ${shown.length === 1 ? 'scan' : `${shown.length} scans`}, the latest at the right. ${runText(runs[0])}`;
  const chart = shape('svg', { class: 'chart', viewBox: `0 0 ${width} ${HEIGHT + 1}`, width, height: HEIGHT + 1, role: 'img', 'aria-label': label });
  const base = shape('path', { class: 'chart-base', d: `M0 ${HEIGHT + 0.5}h${width}` });
  chart.append(hatching(), ...shown.map((run, i) => column(run, i * (WIDTH + GAP), unit)), base);
  return chart;
}

/** The legend of the chart. */
export function chartLegend() {
  const key = (kind, text) => {
    const sample = shape('svg', { class: 'chart-key', viewBox: '0 0 14 14', width: 14, height: 14, 'aria-hidden': 'true' });
    sample.append(kind === 'cross'
      ? shape('path', { class: 'chart-cross', d: 'M2 2l10 10m0-10l-10 10' })
      : part(kind, { x: 0.75, y: 0.75, width: 12.5, height: 12.5 }));
    return element('li', '', sample, text);
  };
  return element('ul', 'chart-legend', key('failed', 'Failed'), key('unknown', 'Could not be checked'), key('passed', 'Passed'), key('cross', 'Did not run'));
}
