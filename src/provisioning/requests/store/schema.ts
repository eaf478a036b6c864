import type { ColumnType, Generated } from 'kysely'
import type { BigSerial, DefaultNow, Json } from '../../store/column-types.ts'
import type { CallbackTarget } from '../model/callback.ts'
import type { ObjectStatusId, RequestStatusId, TransitionId } from '../model/status.ts'
import type { StepState } from '../model/step.ts'

type Identity = ColumnType<number, never, never>

/** Who made and who last changed what environments define, and when. */
type Authorship = {
  created_at: DefaultNow
  created_by: string
  modified_at: DefaultNow
  modified_by: string
}

/** The tables of migration 0006. */
export type RequestTables = {
  readonly object_statuses: { status_id: ObjectStatusId; name: string }
  readonly object_transitions: { transition_id: TransitionId; name: string; status_id: ObjectStatusId }
  readonly request_statuses: { status_id: RequestStatusId; name: string }
  readonly data_types: {
    data_type_id: number
    name: string
    description: string
    validation: string
    validation_regex: string
    validation_regex_strict: string
  }
  readonly environments: {
    environment_id: Identity
    name: string
    app_id: string | null
    is_safeguarded: Generated<boolean>
    created_at: DefaultNow
  }
  readonly environment_accounts: {
    environment_id: number
    account_number: number
    customer_id: string
    created_at: DefaultNow
  }
  readonly allowed_internal_ids: { environment_id: number; internal_id: string }
  readonly global_information_items: {
    environment_id: number
    name: string
    data_type_id: number
    is_protected: boolean
    list_id: number | null
    /** Encrypted if it is protected. */
    value: string | null
  }
  readonly link_types: {
    environment_id: number
    link_type_id: number
    name: string
    request_callback: Json<CallbackTarget> | null
    batch_callback: Json<CallbackTarget> | null
  }
  readonly action_providers: { provider_id: Identity; code: string; name: string; description: string }
  readonly provider_actions: {
    provider_action_id: Identity
    provider_id: number
    operation: string
    code: string
    name: string
    description: string
  }
  readonly action_data_definitions: {
    data_definition_id: Identity
    provider_action_id: number
    name: string
    data_type_id: number
    default_value: string | null
    description: string
    is_required: boolean
    sequence_number: number
  }
  readonly installation_types: {
    installation_type_id: Identity
    provider_id: number
    name: string
    display_name: string
  }
  readonly installations: {
    installation_id: Identity
    installation_type_id: number
    name: string
    description: string
    major_version: number
    minor_version: number
    service_pack: number
    build_number: number
    installed_at: DefaultNow
    is_active: boolean
  }
  readonly variables: Authorship & {
    variable_id: Identity
    environment_id: number
    code: string
    name: string
    data_type_id: number
    is_active: boolean
  }
  readonly variable_outcomes: {
    outcome_id: Identity
    variable_id: number
    outcome_code: string
    display_value: string | null
    sequence_number: number
    value: string
  }
  readonly object_definitions: Authorship & {
    definition_id: Identity
    environment_id: number
    code: string
    name: string
    description: string | null
    /** Of the catalogue, whose services are objects of this definition. */
    product_id: string | null
  }
  readonly data_definitions: {
    data_definition_id: Identity
    definition_id: number
    name: string
    data_type_id: number
    default_value: string | null
    description: string | null
    is_required: boolean
    is_visible: boolean
    list_id: number | null
    variable_id: number | null
    sequence_number: number
    /** Of a definition that a product has: it keeps its name and type, and cannot be removed. */
    is_built_in: Generated<boolean>
  }
  readonly transition_options: {
    data_definition_id: number
    transition_id: TransitionId
    is_required: boolean
    is_visible: boolean
  }
  readonly profiles: Authorship & {
    profile_id: Identity
    environment_id: number
    name: string
    description: string | null
    /** That of orders which came through other APIs. */
    is_of_orders: Generated<boolean>
  }
  readonly profile_definitions: { profile_id: number; definition_id: number }
  readonly scenarios: {
    scenario_id: Identity
    profile_id: number
    provider_action_id: number
    sequence_number: number
    removed_at: Date | null
  }
  readonly scenario_parameters: {
    parameter_id: Identity
    scenario_id: number
    name: string
    scope: string
    value: string | null
    sequence_number: number
  }
  readonly provisioned_objects: {
    object_id: BigSerial
    environment_id: number
    code: string
    internal_id: string
    status_id: ObjectStatusId
    account_number: number | null
    service_id: string | null
    started_at: Date | null
    ended_at: Date | null
    updated_at: DefaultNow
  }
  readonly provisioned_object_items: {
    item_id: BigSerial
    object_id: number
    environment_id: number
    code: string
    internal_id: string
    key_name: string
    value: string
  }
  readonly request_batches: {
    batch_id: BigSerial
    environment_id: number
    total_object_count: number
    is_open: Generated<boolean>
    order_id: string | null
    created_at: DefaultNow
    completed_at: Date | null
  }
  readonly provisioning_requests: Authorship & {
    request_id: BigSerial
    environment_id: number
    account_number: number | null
    account_name: string | null
    customer_id: string | null
    profile_id: number
    object_code: string | null
    internal_id: string | null
    object_starts_at: Date | null
    object_ends_at: Date | null
    object_status_id: ObjectStatusId | null
    transition_id: TransitionId | null
    batch_id: number | null
    regenerated_from_id: number | null
    root_regenerated_from_id: number | null
    regeneration_count: Generated<number>
    was_regenerated: Generated<boolean>
    status_id: RequestStatusId
    status_note: string | null
    is_read_only: boolean
    reprocessing: Generated<boolean>
    was_forced: Generated<boolean>
    work_item_instance_id: number | null
    /** Of the order's item that this request stands for. */
    order_item_id: string | null
    snapshot_at: Date | null
    completed_at: Date | null
    due_at: Date | null
    lease_token: Generated<number>
    leased_until: Date | null
  }
  readonly request_items: { request_id: number; sequence_number: number; key_name: string; value: string }
  readonly request_links: {
    request_id: number
    sequence_number: number
    link_type_id: number
    link_value: string
  }
  readonly request_variable_outcomes: { request_id: number; variable_code: string; outcome_code: string }
  readonly request_snapshot_items: {
    request_id: number
    sequence_number: number
    key_name: string
    value: string | null
    is_required: boolean
    computation_type: string
  }
  readonly request_steps: {
    request_id: number
    sequence_number: number
    scenario_id: number
    provider_action_id: number
    state: StepState
    order_id: string | null
    /** The number that it was about, once that is known. */
    e164: string | null
    error: string | null
  }
  readonly request_orders: { order_id: string; request_id: number; sequence_number: number }
  readonly call_details: {
    call_detail_id: BigSerial
    request_id: number
    /** Of what an adapter sent or received; then content and components are there. */
    call_id: number | null
    provider_action_id: number | null
    is_response: boolean
    correlation_id: string | null
    action_correlation_id: string | null
    content: string | null
    components: ColumnType<unknown, string | undefined, string>
    at: DefaultNow
  }
}
