// A row of each list: what it shows, and what can be done with it.

import { Refusal } from './client.js'
import { badge, fact, make, say, size, time, working } from './view.js'

const ENDINGS = { Finished: 100, Failed: 0, Deleted: 0 }

/** Percent, of `45%`. */
function percent(process) {
  const number = Number.parseInt(process, 10)
  return Number.isFinite(number) ? Math.min(100, Math.max(0, number)) : 0
}

/** The related items of a task's steps: objects with bucket and format, and what failed. */
function steps(attribute) {
  return (attribute?.OperationProgressSet?.OperationProgress ?? []).map((step) => {
    const related = new Map((step.RelatedItemSet?.RelatedItem ?? []).map((item) => [item.Name, item.Value]))
    return {
      place: related.has('OSSObject') ? `${related.get('OSSBucket') ?? ''}/${related.get('OSSObject')}` : '',
      format: related.get('ImageFormat') ?? '',
      problem: step.ErrorCode ? `${step.ErrorMsg || 'It failed.'} (${step.ErrorCode})` : '',
    }
  })
}

export function imageRow(image, choose) {
  const state = make('span')
  const button = make('button', { type: 'button' }, 'Export…')
  button.setAttribute('aria-label', `Export ${image.ImageName || image.ImageId}`)
  const disks = make('dd')
  const element = make('li', {},
    make('div', { class: 'title' }, make('strong', {}, image.ImageName || 'unnamed'), state),
    make('dl', {},
      fact('Image', make('code', {}, image.ImageId)),
      make('div', {}, make('dt', {}, 'Disks'), disks),
      fact('Registered', time(image.CreationTime))),
    make('div', { class: 'acts' }, button))
  button.addEventListener('click', () => choose(image))
  return {
    element,
    update(now) {
      const mappings = now.DiskDeviceMappings?.DiskDeviceMapping ?? []
      state.replaceChildren(badge(now.Status))
      // The API tells sizes in GiB.
      say(disks, mappings.map((disk) => `${disk.Device} ${disk.Size} GiB`).join(', ') || `${now.Size} GiB`)
    },
  }
}

export function taskRow(task, cancel) {
  const name = make('code', {}, task.TaskId)
  const state = make('span')
  const bar = make('progress', { max: '100', 'aria-label': `Progress of task ${task.TaskId}` })
  const share = make('span', { class: 'share' })
  const finished = make('dd')
  const made = make('ul', { class: 'made' })
  const problem = make('p', { class: 'problem' })
  const button = make('button', { type: 'button', 'aria-label': `Cancel task ${task.TaskId}` }, 'Cancel')
  const element = make('li', {},
    make('div', { class: 'title' }, make('strong', {}, task.TaskAction === 'ImportImage' ? 'Import' : 'Export', ' ', name), state),
    make('div', { class: 'progress' }, bar, share),
    made,
    problem,
    make('dl', {},
      fact('Image', make('code', {}, task.ResourceId ?? '')),
      fact('Started', time(task.CreationTime)),
      make('div', {}, make('dt', {}, 'Ended'), finished)),
    make('div', { class: 'acts' }, button))
  working(button, 'Cancelling…', async () => {
    try {
      await cancel(task)
    } catch (error) {
      say(problem, error.message)
    }
  })
  return {
    element,
    update(now) {
      const status = now.TaskStatus
      state.replaceChildren(badge(status))
      const done = status === 'Finished' ? ENDINGS.Finished : percent(now.attribute.TaskProcess)
      bar.value = done
      say(share, `${done}%`)
      element.dataset.state = status
      say(finished, time(now.attribute.FinishedTime) || '–')
      const all = steps(now.attribute)
      if (made.children.length !== all.length || all.some((step, index) => made.children[index].dataset.place !== step.place)) {
        made.replaceChildren(...all.filter((step) => step.place).map((step) => make(
          'li', { 'data-place': step.place }, make('code', {}, step.place), step.format ? ` ${step.format}` : '')))
      }
      const sentence = all.map((step) => step.problem).find((one) => one)
      if (sentence || status !== 'Processing') say(problem, sentence ?? '')
      button.hidden = status in ENDINGS || String(now.attribute.SupportCancel ?? now.SupportCancel) !== 'true'
    },
  }
}

export function objectRow(object, verify) {
  const result = make('p', { class: 'result', role: 'status' })
  const button = make('button', { type: 'button', 'aria-label': `Verify ${object.OSSObject}` }, 'Verify')
  const facts = make('dl')
  const element = make('li', {},
    make('div', { class: 'title' }, make('strong', {}, make('code', {}, object.OSSObject))),
    facts,
    result,
    make('div', { class: 'acts' }, button))
  working(button, 'Verifying…', async () => {
    delete result.dataset.outcome
    say(result, 'The object is read whole …')
    try {
      const answer = await verify(object, (share) => say(result, `The object is read whole: ${share}`))
      const isWhole = answer.Status === 'Verified'
      result.dataset.outcome = isWhole ? 'good' : 'bad'
      say(result, isWhole ? 'Verified: its bytes and its disk are what was exported.' : answer.Message)
    } catch (error) {
      result.dataset.outcome = 'bad'
      say(result, error instanceof Refusal ? `${error.message} (${error.code})` : error.message)
    }
  })
  return {
    element,
    update(now) {
      facts.replaceChildren(
        fact('Bucket', make('code', {}, now.OSSBucket)),
        fact('Format', now.ImageFormat ?? ''),
        fact('Length', size(now.Length)),
        fact('Fingerprint of the disk', make('code', {}, now.Fingerprint ?? '')),
        fact('CRC-64 of the object', make('code', {}, now.CRC64 ?? '')),
        fact('Task', make('code', {}, now.TaskId)))
    },
  }
}
