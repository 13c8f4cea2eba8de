-- metapaas
CREATE TABLE "metapaas_audit" (
    "id" uuid NOT NULL,
    "at" timestamp with time zone NOT NULL,
    "actor_kind" text NOT NULL,
    "actor_id" uuid NULL,
    "actor_name" text NOT NULL,
    "request_id" text NOT NULL,
    "action" text NOT NULL,
    "resource" text NOT NULL,
    "project_id" uuid NULL,
    "outcome" text NOT NULL,
    "detail" jsonb NULL,
    PRIMARY KEY ("id")
);
CREATE INDEX "metapaas_audit_at_idx" ON "metapaas_audit" ("at");

CREATE TABLE "metapaas_counters" (
    "name" text NOT NULL,
    "value" bigint NOT NULL,
    PRIMARY KEY ("name")
);

CREATE TABLE "metapaas_events" (
    "seq" bigint NOT NULL,
    "at" timestamp with time zone NOT NULL,
    "project_id" uuid NOT NULL,
    "type" text NOT NULL,
    "plural" text NOT NULL,
    "resource_id" uuid NOT NULL,
    "instance_id" uuid NULL,
    "name" text NOT NULL,
    "action" text NOT NULL,
    "actor_kind" text NOT NULL,
    "actor_id" uuid NULL,
    "actor_name" text NOT NULL,
    "request_id" text NOT NULL,
    "generation" bigint NOT NULL,
    "detail" jsonb NULL,
    PRIMARY KEY ("seq")
);
CREATE INDEX "metapaas_events_resource_id_seq_idx" ON "metapaas_events" ("resource_id", "seq");

CREATE TABLE "metapaas_idempotency" (
    "principal" text NOT NULL,
    "key" text NOT NULL,
    "request_hash" text NOT NULL,
    "status" bigint NULL,
    "headers" jsonb NULL,
    "body" text NULL,
    "created_at" timestamp with time zone NOT NULL,
    PRIMARY KEY ("principal", "key")
);
CREATE INDEX "metapaas_idempotency_created_at_idx" ON "metapaas_idempotency" ("created_at");

CREATE TABLE "metapaas_nodes" (
    "id" uuid NOT NULL,
    "instance_id" uuid NOT NULL,
    "project_id" uuid NOT NULL,
    "type" text NOT NULL,
    "place" text NOT NULL,
    "provider" text NOT NULL,
    "address" text NULL,
    "port" bigint NOT NULL,
    "location" jsonb NULL,
    "status" text NOT NULL,
    "phase" text NOT NULL,
    "document" text NULL,
    "document_generation" bigint NOT NULL,
    "document_digest" text NULL,
    "applied_generation" bigint NOT NULL,
    "applied_digest" text NULL,
    "health" text NOT NULL,
    "message" text NOT NULL,
    "facts" jsonb NOT NULL,
    "errors" jsonb NOT NULL,
    "removed" boolean NOT NULL,
    "last_seen_at" timestamp with time zone NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_nodes_provider_address_key" ON "metapaas_nodes" ("provider", "address");
CREATE UNIQUE INDEX "metapaas_nodes_instance_id_place_key" ON "metapaas_nodes" ("instance_id", "place");
CREATE INDEX "metapaas_nodes_last_seen_at_idx" ON "metapaas_nodes" ("last_seen_at");

CREATE TABLE "metapaas_projects" (
    "id" uuid NOT NULL,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "revision" bigint NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_projects_name_key" ON "metapaas_projects" ("name");

CREATE TABLE "metapaas_bindings" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "principal_kind" text NOT NULL,
    "principal_id" uuid NOT NULL,
    "role" text NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_bindings_project_id_principal_kind_principal_4665fffc" ON "metapaas_bindings" ("project_id", "principal_kind", "principal_id", "role");
CREATE INDEX "metapaas_bindings_principal_id_idx" ON "metapaas_bindings" ("principal_id");

CREATE TABLE "metapaas_replicas" (
    "id" uuid NOT NULL,
    "url" text NOT NULL,
    "started_at" timestamp with time zone NOT NULL,
    "seen_at" timestamp with time zone NOT NULL,
    PRIMARY KEY ("id")
);

CREATE TABLE "metapaas_service_accounts" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "disabled" boolean NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "revision" bigint NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_service_accounts_project_id_name_key" ON "metapaas_service_accounts" ("project_id", "name");

CREATE TABLE "metapaas_service_tokens" (
    "id" uuid NOT NULL,
    "service_account_id" uuid NOT NULL REFERENCES "metapaas_service_accounts" ("id") ON DELETE CASCADE,
    "token_hash" text NOT NULL,
    "description" text NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "expires_at" timestamp with time zone NULL,
    "last_used_at" timestamp with time zone NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_service_tokens_token_hash_key" ON "metapaas_service_tokens" ("token_hash");
CREATE INDEX "metapaas_service_tokens_service_account_id_idx" ON "metapaas_service_tokens" ("service_account_id");

CREATE TABLE "metapaas_settings" (
    "name" text NOT NULL,
    "value" text NOT NULL,
    PRIMARY KEY ("name")
);

CREATE TABLE "metapaas_users" (
    "id" uuid NOT NULL,
    "name" text NOT NULL,
    "password_hash" text NULL,
    "email" text NULL,
    "disabled" boolean NOT NULL,
    "must_change_password" boolean NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "revision" bigint NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_users_name_key" ON "metapaas_users" ("name");

CREATE TABLE "metapaas_sessions" (
    "id" uuid NOT NULL,
    "user_id" uuid NOT NULL REFERENCES "metapaas_users" ("id") ON DELETE CASCADE,
    "refresh_hash" text NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "expires_at" timestamp with time zone NOT NULL,
    "revoked_at" timestamp with time zone NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_sessions_refresh_hash_key" ON "metapaas_sessions" ("refresh_hash");
CREATE INDEX "metapaas_sessions_user_id_idx" ON "metapaas_sessions" ("user_id");
CREATE INDEX "metapaas_sessions_expires_at_idx" ON "metapaas_sessions" ("expires_at");

CREATE TABLE "metapaas_work" (
    "resource_id" uuid NOT NULL,
    "type" text NOT NULL,
    "due_at" timestamp with time zone NULL,
    "priority" bigint NOT NULL,
    "attempts" bigint NOT NULL,
    "wake" bigint NOT NULL,
    "claimed_wake" bigint NOT NULL,
    "lease_owner" text NULL,
    "epoch" bigint NOT NULL,
    "lease_until" timestamp with time zone NULL,
    "waiting_for" text NULL,
    "last_error" text NULL,
    PRIMARY KEY ("resource_id")
);
CREATE INDEX "metapaas_work_due_at_idx" ON "metapaas_work" ("due_at");
CREATE INDEX "metapaas_work_waiting_for_idx" ON "metapaas_work" ("waiting_for");

-- demo
CREATE TABLE "demo_instances" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "version" text NOT NULL,
    "labels" jsonb NOT NULL,
    "status" text NOT NULL,
    "conditions" jsonb NOT NULL,
    "nodes" jsonb NOT NULL,
    "generation" bigint NOT NULL,
    "observed_generation" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    "greeting" text NOT NULL,
    "replicas" bigint NOT NULL,
    "theme" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "demo_instances_name_project_id_key" ON "demo_instances" ("name", "project_id");
CREATE INDEX "demo_instances_project_id_id_idx" ON "demo_instances" ("project_id", "id");

CREATE TABLE "demo_pages" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "demo_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "demo_instances" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" jsonb NOT NULL,
    "status" text NOT NULL,
    "conditions" jsonb NOT NULL,
    "generation" bigint NOT NULL,
    "observed_generation" bigint NOT NULL,
    "held_generation" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    "path" text NOT NULL,
    "text" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "demo_pages_parent_id_path_key" ON "demo_pages" ("parent_id", "path");
CREATE INDEX "demo_pages_instance_id_id_idx" ON "demo_pages" ("instance_id", "id");
CREATE INDEX "demo_pages_parent_id_id_idx" ON "demo_pages" ("parent_id", "id");
