// SPDX-License-Identifier: BSD-2-Clause
// Drives the pages in a browser: run.py starts it with a step's name and its arguments; it prints one line of JSON.
import {createRequire} from 'node:module';

const {chromium} = createRequire(process.env.PLAYWRIGHT + '/')('playwright-core');
const [step, url, ...words] = process.argv.slice(2);
const browser = await chromium.launch({executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync']});
const wrong = [];
async function open(options = {}) {
  const page = await browser.newPage({viewport: {width: 1300, height: 900}, ...options});
  page.on('pageerror', error => wrong.push(error.message));
  page.on('request', request => { if (!request.url().startsWith(new URL(url).origin) && !/^(data|blob|file):/.test(request.url())) wrong.push('asks for ' + request.url()); });
  await page.goto(url);
  return page;
}
const text = (page, selector) => page.locator(selector).innerText();
const steps = {
  // Reads a campaign's page: squares of the heat map, the cases of one that failed, and its report; a search and a sweep.
  async campaign() {
    const page = await open();
    const squares = await page.locator('.square').count(), curves = await page.locator('#searches svg').count();
    const faults = await page.locator('.ladder tbody tr').count(), verdict = await text(page, '#verdict');
    await page.click('.square.none');
    const cases = await text(page, '#cases');
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    await page.click('#cases a');
    await page.waitForLoadState();
    return {squares, curves, faults, verdict, cases, wide, report: await page.title()};
  },
  // Starts a blackout by the keyboard once the session is there; its events must come by themselves.
  async blackout() {
    const page = await open();
    await page.waitForSelector('#sessions tr');
    await page.fill('#b-time', words[0]);
    await page.focus('#blackout button');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('#events').textContent.includes('blackout-begins'));
    await page.waitForFunction(() => document.querySelector('#events').textContent.includes('blackout-ends'), null, {timeout: 20000});
    return {answer: await text(page, '#answer')};
  },
  // Sets another link for one session and a key of a link, makes a mark, disables a rule; a wrong value is reported in red.
  async press() {
    const page = await open();
    await page.click('#sessions button');
    await page.selectOption('#l-name', 'bad');
    await page.click('#go button');
    await page.waitForFunction(() => document.querySelector('#sessions').textContent.includes('bad'));
    await page.fill('#p-value', 'much');
    await page.click('#patch button');
    await page.waitForFunction(() => document.querySelector('#answer').className === 'bad');
    const refused = await text(page, '#answer');
    await page.fill('#p-value', '7%');
    await page.click('#patch button');
    await page.waitForFunction(() => document.querySelector('#answer').textContent.includes('7%'));
    await page.fill('#m-text', 'half of it');
    await page.click('#mark button');
    await page.waitForFunction(() => document.querySelector('#events').textContent.includes('mark half of it'));
    await page.click('#rules button:has-text("disable")');
    await page.waitForFunction(() => document.querySelector('#rules').textContent.includes('(off)'));
    return {refused};
  },
  // Opens the page late: it has a history; ends a running blackout, edits a key of a link in place, and reloads.
  async late() {
    const page = await open();
    await page.waitForFunction(() => document.querySelector('#dark').textContent.includes('s left'));
    const samples = await page.evaluate(() => rates.length), left = await text(page, '#dark');
    await page.click('#dark button:has-text("end now")');
    await page.waitForFunction(() => document.querySelector('#events').textContent.includes('blackout-ends'));
    await page.waitForFunction(() => !document.querySelector('#dark').textContent.includes('s left'));
    const input = page.locator('#links label:has-text("latency") input');
    await input.fill('45ms');
    await input.press('Enter');
    await page.waitForFunction(() => document.querySelector('#answer').textContent.includes('latency = 45ms'));
    page.on('dialog', dialog => dialog.accept());
    await page.click('#reload');
    await page.waitForFunction(() => document.querySelector('#answer').textContent.includes('reloaded'));
    return {samples, left};
  },
  async empty() {
    const page = await open();
    await page.waitForSelector('#empty:not([hidden])');
    return {told: await text(page, '#empty')};
  },
  async ladder() {
    const page = await open();
    return {rows: await page.locator('.ladder').first().locator('text').allTextContents(), crosses: await page.locator('.ladder line.cross').count(), rules: await text(page, '#rules')};
  },
  async many() {
    const page = await open();
    await page.waitForFunction(() => document.querySelectorAll('#sessions tr').length === 1000, null, {timeout: 30000});
    const spent = await page.evaluate(() => { const began = performance.now(); for (const wanted of ['127', 'no such', '']) { const find = document.querySelector('#find'); find.value = wanted; find.oninput(); document.body.offsetHeight; } return performance.now() - began; });
    return {rows: await page.locator('#sessions tr').count(), spent};
  },
  // The page says so when the proxy is gone (run.py ends it after `there`), and recovers by itself.
  async lost() {
    const page = await open();
    await page.waitForFunction(() => document.querySelector('#totals').textContent.includes('sessions'));
    console.log('there');
    await page.waitForSelector('#lost.on', {timeout: 30000});
    const told = await text(page, '#lost');
    console.log('gone');
    await page.waitForSelector('#lost:not(.on)', {state: 'attached', timeout: 30000});
    return {told};
  },
  async token() {
    const page = await open();
    await page.waitForSelector('#token-form:not([hidden])');
    await page.fill('#token', words[0]);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('#facts').textContent.includes('seed'));
    return {};
  },
  // Takes a picture at every width and in every theme; nothing may be wider than the page.
  async looks() {
    const wide = [];
    for (const width of [400, 1000, 1900]) for (const colorScheme of ['light', 'dark']) {
      const page = await open({viewport: {width, height: 900}, colorScheme});
      await page.waitForTimeout(300); // lets the charts be drawn; no check depends on it
      if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) wide.push(width);
      await page.screenshot({path: `${words[0]}-${width}-${colorScheme}.png`, fullPage: true});
      await page.close();
    }
    return {wide};
  },
  // Takes one picture: FILE, width, height, theme, and how long to wait for the live page's samples.
  async picture() {
    const [file, width, height, colorScheme, wait] = words;
    const page = await open({viewport: {width: +width, height: +height}, colorScheme});
    await page.waitForTimeout(+wait || 500);
    await page.screenshot({path: file, fullPage: !+height});
    return {wide: await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)};
  },
  async report() {
    const page = await open();
    await page.focus('#lanes');
    await page.keyboard.press('ArrowRight');
    const first = await text(page, '#readout');
    await page.keyboard.press('ArrowRight');
    const second = await text(page, '#readout');
    await page.click('#in');
    await page.click('#all');
    return {first, second, sessions: await page.locator('#sessions tr').count(), events: await page.locator('#events tr').count()};
  },
};
try {
  console.log(JSON.stringify({...await steps[step](), wrong}));
} finally {
  await browser.close();
}
