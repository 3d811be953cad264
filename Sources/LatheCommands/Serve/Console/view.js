// How things are put on the page. What comes from the service becomes text and nothing else, whatever it holds.

/** The element of the page with an ID. */
export const at = (id) => document.getElementById(id)

/** Makes an element; children are elements or text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(key, value)
  }
  element.append(...children)
  return element
}

/** Sets text only where it changes, so that nothing that is read out is said twice. */
export function say(element, words) {
  if (element.textContent !== words) element.textContent = words
}

/** Says something to those who can't see it change. */
export function announce(words) {
  say(at('news'), words)
}

/** `1536` as `1.5 KiB`. */
export function size(bytes) {
  const number = Number(bytes)
  if (!Number.isFinite(number)) return ''
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = number
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1).replace(/\.0$/, '')} ${units[unit]}`
}

/** A time of the service, as this browser's user writes it. */
export function time(written) {
  const date = new Date(written)
  if (!written || Number.isNaN(date.getTime())) return ''
  return date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })
}

/** What a task or image is in, as a badge whose colour says no more than its word. */
export function badge(state) {
  return make('span', { class: 'badge', 'data-state': state }, state)
}

/** A name and what it is, for a `dl`. */
export function fact(name, ...value) {
  return make('div', {}, make('dt', {}, name), make('dd', {}, ...value))
}

/**
 * A list whose items stay the same elements as long as they are there, so that focus stays where it is.
 *
 * An item is drawn by `draw`, which answers its element and a function that brings it up to date.
 */
export class Rows {
  #items = new Map()

  constructor(list, empty, draw) {
    this.list = list
    this.empty = empty
    this.draw = draw
  }

  /** Shows the values in order; `name` answers what tells one from another. */
  show(values, name) {
    const kept = new Map()
    for (const [index, value] of values.entries()) {
      const key = name(value)
      const item = this.#items.get(key) ?? this.draw(value)
      item.update(value)
      kept.set(key, item)
      if (this.list.children[index] !== item.element) this.list.insertBefore(item.element, this.list.children[index] ?? null)
    }
    for (const [key, item] of this.#items) {
      if (!kept.has(key)) item.element.remove()
    }
    this.#items = kept
    this.empty.hidden = values.length > 0
  }

  clear() {
    this.show([], () => '')
    this.empty.hidden = true
  }
}

/** Buttons that turn the pages of a list; not there where there is one page. */
export class Pages {
  number = 1
  #total = 0

  constructor(nav, length, turn) {
    this.nav = nav
    this.length = length
    this.words = make('span', { 'aria-live': 'polite' })
    this.newer = this.#button('Previous', -1, turn)
    this.older = this.#button('Next', 1, turn)
    nav.append(this.newer, this.words, this.older)
  }

  get parameters() {
    return { PageNumber: this.number, PageSize: this.length }
  }

  /** Takes what an answer says of how many there are. */
  update(answer) {
    this.#total = Number(answer.TotalCount) || 0
    const last = Math.max(1, Math.ceil(this.#total / this.length))
    this.nav.hidden = last === 1 && this.number === 1
    say(this.words, `${this.number} of ${last}`)
    this.newer.setAttribute('aria-disabled', String(this.number <= 1))
    this.older.setAttribute('aria-disabled', String(this.number >= last))
  }

  reset() {
    this.number = 1
    this.nav.hidden = true
  }

  #button(words, step, turn) {
    const button = make('button', { type: 'button' }, words)
    button.addEventListener('click', () => {
      if (button.getAttribute('aria-disabled') === 'true') return
      this.number += step
      turn()
    })
    return button
  }
}

/** A button that is busy while its work goes on: it keeps the focus, and does nothing then. */
export function working(button, words, work) {
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return
    const before = button.textContent
    button.setAttribute('aria-disabled', 'true')
    button.textContent = words
    try {
      await work()
    } finally {
      button.textContent = before
      button.removeAttribute('aria-disabled')
    }
  })
  return button
}

/** Fills a `select`, and keeps what was chosen where it is still there. */
export function choices(select, options) {
  const chosen = select.value
  const same = select.options.length === options.length
    && options.every(([value, words], index) => select.options[index].value === value && select.options[index].text === words)
  if (same) return
  select.replaceChildren(...options.map(([value, words]) => make('option', { value }, words)))
  if (options.some(([value]) => value === chosen)) select.value = chosen
}
