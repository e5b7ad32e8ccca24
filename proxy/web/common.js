'use strict';
/* What the live page and the report's page share. */
const $ = id => document.getElementById(id);
const element = (tag, text, more) => Object.assign(document.createElement(tag), {textContent: text ?? ''}, more);
const cssColour = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
