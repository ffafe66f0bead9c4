/** What the server's resources look like. `schema.ts` is made from its OpenAPI document: `npm run api`. */

import type { components } from './schema'

type Schemas = components['schemas']

export type User = Schemas['UserShape']
export type Event = Schemas['EventShape']
export type EventType = Schemas['NewEvent']['type']
export type Experiment = Schemas['ExperimentShape']
export type Note = Schemas['NoteShape']
export type Plugin = Schemas['InstanceShape']
export type Channel = Schemas['ChannelShape']
export type Available = Schemas['AvailableShape']
export type Rule = Schemas['RuleShape']
export type Preview = Schemas['PreviewShape']
export type Webhook = Schemas['WebhookShape']
export type Delivery = Schemas['DeliveryShape']
export type Dashboard = Schemas['DashboardShape']
export type Widget = Schemas['WidgetShape']
export type Token = Schemas['TokenShape']
export type Scope = Token['scope']
export type NewToken = Schemas['TokenCreated']
export type Change = Schemas['ChangeShape']
export type Log = Schemas['LogShape']
export type Unlinked = Schemas['UnlinkedShape']
export type Role = User['role']
