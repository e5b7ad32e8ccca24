'use strict';
/* Helpers shared by the live page and the report's page. */
const $ = id => document.getElementById(id);
const element = (tag, text, more) => Object.assign(document.createElement(tag), {textContent: text ?? ''}, more);
const cssColour = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
