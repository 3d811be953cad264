// The page: who is signed in, what is shown, and when it is asked for again.

import { Client, Refusal, Unreachable, canSign, keys } from './client.js'
import { Pages, Rows, announce, at, choices, say } from './view.js'
import { imageRow, objectRow, taskRow } from './rows.js'

const ACTIVE = ['Waiting', 'Processing']
/** How soon tasks are looked at again, in milliseconds: while one runs, and otherwise. */
const SOON = 1500
const LATER = 10_000
const HOME = 'cn-hangzhou'

let client = null
/** Changes with every key and region: what was asked before that is not shown. */
let turn = 0
let timer = 0
/** Ends once the choices of the region are there, or can't be had. */
let choicesKnown = Promise.resolve()
/** What DescribeTaskAttribute said of tasks that are over, by ID: it does not change any more. */
let ended = new Map()
/** How each task was when it was last seen, by ID. */
let states = new Map()

const pages = {
  tasks: new Pages(at('task-pages'), 20, () => refresh()),
  objects: new Pages(at('object-pages'), 20, () => guarded(showObjects)),
  images: new Pages(at('image-pages'), 50, () => guarded(showImages)),
}
const rows = {
  tasks: new Rows(at('tasks'), at('tasks-empty'), (task) => taskRow(task, cancel)),
  objects: new Rows(at('objects'), at('objects-empty'), (object) => objectRow(object, verify)),
  images: new Rows(at('images'), at('images-empty'), (image) => imageRow(image, choose)),
}

const region = () => at('region').value
const items = (answer, list, item) => answer[list]?.[item] ?? []

/** What an error says to people. */
function words(error) {
  if (error instanceof Refusal) {
    return `${error.message} (${error.code}${error.requestId ? `, request ${error.requestId}` : ''})`
  }
  return error instanceof Unreachable ? error.message : `This page has a fault: ${error.message}`
}

/** Tells that the service can't be asked, or no more that. */
function connection(sentence) {
  const banner = at('connection')
  banner.hidden = sentence === ''
  say(banner, sentence)
}

/** Runs what shows something; what goes wrong is told on top of the page. */
async function guarded(work) {
  const mine = turn
  try {
    await work(mine)
    if (mine === turn) connection('')
  } catch (error) {
    if (mine === turn) connection(words(error))
  }
}

async function showImages(mine) {
  const answer = await client.call('DescribeImages', { RegionId: region(), ...pages.images.parameters })
  if (mine !== turn) return
  const images = items(answer, 'Images', 'Image')
  pages.images.update(answer)
  rows.images.show(images, (image) => image.ImageId)
  choices(at('image'), images.map((image) => [image.ImageId, `${image.ImageName || 'unnamed'} (${image.ImageId})`]))
}

async function showBuckets(mine) {
  const answer = await client.call('DescribeBuckets', { RegionId: region() })
  if (mine !== turn) return
  choices(at('bucket'), items(answer, 'Buckets', 'Bucket').map((bucket) => [bucket.Name, bucket.Name]))
}

async function showObjects(mine) {
  const answer = await client.call('DescribeExportedObjects', { RegionId: region(), ...pages.objects.parameters })
  if (mine !== turn) return
  pages.objects.update(answer)
  rows.objects.show(items(answer, 'Objects', 'Object'), (object) => `${object.TaskId} ${object.OSSBucket}/${object.OSSObject}`)
}

/** Shows the tasks of a page. Answers whether one of them goes on. */
async function showTasks(mine) {
  const answer = await client.call('DescribeTasks', { RegionId: region(), ...pages.tasks.parameters })
  const tasks = items(answer, 'TaskSet', 'Task')
  await Promise.all(tasks.map(async (task) => {
    const known = ended.get(task.TaskId)
    task.attribute = known ?? await client.call('DescribeTaskAttribute', { RegionId: region(), TaskId: task.TaskId })
    // It may have ended between the two questions; the later answer counts.
    task.TaskStatus = task.attribute.TaskStatus ?? task.TaskStatus
    if (!ACTIVE.includes(task.TaskStatus) && mine === turn) ended.set(task.TaskId, task.attribute)
  }))
  if (mine !== turn) return false
  pages.tasks.update(answer)
  rows.tasks.show(tasks, (task) => task.TaskId)
  await tellChanges(tasks, mine)
  return tasks.some((task) => ACTIVE.includes(task.TaskStatus))
}

/** Says which tasks have ended since they were last looked at, and shows what they made. */
async function tellChanges(tasks, mine) {
  const over = tasks.filter((task) => ACTIVE.includes(states.get(task.TaskId)) && !ACTIVE.includes(task.TaskStatus))
  for (const task of tasks) states.set(task.TaskId, task.TaskStatus)
  if (over.length === 0) return
  announce(over.map((task) => `Task ${task.TaskId}: ${task.TaskStatus}.`).join(' '))
  await showObjects(mine)
  if (over.some((task) => task.TaskAction === 'ImportImage') && mine === turn) await showImages(mine)
}

/** Looks at the tasks now, and again after a while. */
async function refresh() {
  clearTimeout(timer)
  const mine = turn
  let isActive = false
  await guarded(async () => {
    isActive = await showTasks(mine)
  })
  if (mine !== turn) return
  clearTimeout(timer)
  timer = setTimeout(refresh, isActive ? SOON : LATER)
}

/** Shows everything of a region. */
async function showAll() {
  turn += 1
  ended = new Map()
  states = new Map()
  for (const list of Object.values(rows)) list.clear()
  for (const page of Object.values(pages)) page.reset()
  choicesKnown = guarded((mine) => Promise.all([showImages(mine), showBuckets(mine), showObjects(mine)]))
  await choicesKnown
  await refresh()
}

async function cancel(task) {
  try {
    await client.call('CancelTask', { RegionId: region(), TaskId: task.TaskId })
    announce(`Task ${task.TaskId} is being cancelled.`)
  } finally {
    await refresh()
  }
}

/** Has an object read whole again, and tells how far that is. Answers what came of it. */
async function verify(object, tell) {
  const asked = client
  const parameters = { RegionId: region(), TaskId: object.TaskId, OSSObject: object.OSSObject }
  let answer = await asked.call('VerifyExportedObject', { ...parameters, Restart: 'true' })
  while (answer.Status === 'Verifying') {
    tell(answer.Progress)
    await new Promise((resolve) => setTimeout(resolve, 700))
    answer = await asked.call('VerifyExportedObject', parameters)
  }
  return answer
}

/** Takes an image into the form. */
function choose(image) {
  at('image').value = image.ImageId
  at('image').focus()
  announce(`${image.ImageName || image.ImageId} is chosen.`)
}

/** Puts the focus on what is wrong, and says it. */
function complain(problem, field, sentence) {
  say(at(problem), sentence)
  if (!field) return
  field.setAttribute('aria-invalid', 'true')
  field.setAttribute('aria-describedby', problem)
  field.focus()
}

function settle(form, problem) {
  say(at(problem), '')
  for (const field of form.querySelectorAll('[aria-invalid]')) {
    field.removeAttribute('aria-invalid')
    field.removeAttribute('aria-describedby')
  }
}

/** What is wrong with the export form, before the service is asked: a field and a sentence. */
function firstFault() {
  if (!at('image').value) return [at('image'), 'There is no image to export in this region.']
  if (!at('bucket').value) return [at('bucket'), 'There is no bucket to export into in this region.']
  if (!/^[A-Za-z0-9]{0,30}$/.test(at('prefix').value)) {
    return [at('prefix'), 'The prefix may have letters and digits alone, 30 at most.']
  }
  return null
}

/** Which field a refusal is about. */
function fieldOf(code) {
  const fields = [[/Prefix/, 'prefix'], [/Bucket/, 'bucket'], [/Role/, 'role'], [/Image/, 'image']]
  const found = fields.find(([pattern]) => pattern.test(code))
  return found ? at(found[1]) : null
}

async function startExport() {
  const isDry = at('dry-run').checked
  try {
    const answer = await client.call('ExportImage', {
      RegionId: region(), ImageId: at('image').value, OSSBucket: at('bucket').value, OSSPrefix: at('prefix').value,
      ImageFormat: new FormData(at('export-form')).get('format'), RoleName: at('role').value,
      DryRun: isDry ? 'true' : undefined,
    })
    announce(`Task ${answer.TaskId} has been started.`)
    // It may have ended by the first look at it; that is told all the same.
    states.set(answer.TaskId, ACTIVE[0])
    pages.tasks.number = 1
    await refresh()
  } catch (error) {
    if (isDry && error.code === 'DryRunOperation') {
      announce('The dry run passed: this export would be started.')
      return
    }
    complain('export-problem', error instanceof Refusal ? fieldOf(error.code) : null, words(error))
  }
}

/** Shows the desk to who is signed in, else the sign. */
function open(isIn) {
  at('session').hidden = !isIn
  at('desk').hidden = !isIn
  at('sign-in').hidden = isIn
  if (!canSign()) {
    complain('sign-in-problem', null,
      'This browser signs nothing here: its cryptography is there on https and on loopback addresses alone.')
  }
}

/** Asks with a key for the first time. Throws where it is not let in. */
async function enter(key) {
  const asking = new Client(key)
  const answer = await asking.call('DescribeRegions')
  client = asking
  keys.keep(key)
  const regions = items(answer, 'Regions', 'Region')
  choices(at('region'), regions.map((one) => [
    one.RegionId, one.LocalName && one.LocalName !== one.RegionId ? `${one.RegionId} (${one.LocalName})` : one.RegionId,
  ]))
  // The one that was looked at last in this tab, else the one in which a first start puts everything.
  const wanted = [key.region, HOME].find((id) => regions.some((one) => one.RegionId === id))
  if (wanted) at('region').value = wanted
  say(at('key-id'), key.id)
  open(true)
}

async function signIn() {
  const fields = [at('access-key-id'), at('access-key-secret')]
  const missing = fields.find((field) => field.value.trim() === '')
  if (missing) {
    complain('sign-in-problem', missing, 'A key has an ID and a secret.')
    return
  }
  try {
    await enter({ id: fields[0].value.trim(), secret: fields[1].value.trim(), token: at('security-token').value.trim() })
  } catch (error) {
    complain('sign-in-problem', error instanceof Refusal ? at('access-key-id') : null, words(error))
    return
  }
  at('sign-in-form').reset()
  announce('You are signed in.')
  at('image').focus()
  await showAll()
}

function forget() {
  turn += 1
  clearTimeout(timer)
  keys.forget()
  client = null
  for (const list of Object.values(rows)) list.clear()
  for (const select of ['image', 'bucket', 'region']) at(select).replaceChildren()
  say(at('key-id'), '')
  connection('')
  open(false)
  announce('The key is forgotten.')
  at('access-key-id').focus()
}

/** Has a form do its work, once at a time. */
function onSubmit(form, problem, work) {
  let isBusy = false
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (isBusy) return
    isBusy = true
    settle(form, problem)
    form.setAttribute('aria-busy', 'true')
    try {
      await work()
    } finally {
      isBusy = false
      form.removeAttribute('aria-busy')
    }
  })
}

onSubmit(at('sign-in-form'), 'sign-in-problem', signIn)
onSubmit(at('export-form'), 'export-problem', async () => {
  // Whoever is quicker than the lists is not told that they are empty.
  await choicesKnown
  const fault = firstFault()
  if (fault) complain('export-problem', ...fault)
  else await startExport()
})
at('session').addEventListener('submit', (event) => {
  event.preventDefault()
  forget()
})
at('region').addEventListener('change', () => {
  keys.keep({ ...client.key, region: region() })
  showAll()
})
document.addEventListener('visibilitychange', () => {
  if (client && !document.hidden) refresh()
})

const known = keys.load()
if (known && canSign()) {
  try {
    await enter(known)
    await showAll()
  } catch (error) {
    open(false)
    complain('sign-in-problem', null, words(error))
  }
} else {
  open(false)
}
