-- metapaas
CREATE TABLE "metapaas_audit" (
    "id" text NOT NULL,
    "at" integer NOT NULL,
    "actor_kind" text NOT NULL,
    "actor_id" text NULL,
    "actor_name" text NOT NULL,
    "request_id" text NOT NULL,
    "action" text NOT NULL,
    "resource" text NOT NULL,
    "project_id" text NULL,
    "outcome" text NOT NULL,
    "detail" text NULL,
    PRIMARY KEY ("id")
);
CREATE INDEX "metapaas_audit_at_idx" ON "metapaas_audit" ("at");

CREATE TABLE "metapaas_counters" (
    "name" text NOT NULL,
    "value" integer NOT NULL,
    PRIMARY KEY ("name")
);

CREATE TABLE "metapaas_events" (
    "seq" integer NOT NULL,
    "at" integer NOT NULL,
    "project_id" text NOT NULL,
    "type" text NOT NULL,
    "plural" text NOT NULL,
    "resource_id" text NOT NULL,
    "instance_id" text NULL,
    "name" text NOT NULL,
    "action" text NOT NULL,
    "actor_kind" text NOT NULL,
    "actor_id" text NULL,
    "actor_name" text NOT NULL,
    "request_id" text NOT NULL,
    "generation" integer NOT NULL,
    "detail" text NULL,
    PRIMARY KEY ("seq")
);
CREATE INDEX "metapaas_events_resource_id_seq_idx" ON "metapaas_events" ("resource_id", "seq");

CREATE TABLE "metapaas_idempotency" (
    "principal" text NOT NULL,
    "key" text NOT NULL,
    "request_hash" text NOT NULL,
    "status" integer NULL,
    "headers" text NULL,
    "body" text NULL,
    "created_at" integer NOT NULL,
    PRIMARY KEY ("principal", "key")
);
CREATE INDEX "metapaas_idempotency_created_at_idx" ON "metapaas_idempotency" ("created_at");

CREATE TABLE "metapaas_nodes" (
    "id" text NOT NULL,
    "instance_id" text NOT NULL,
    "project_id" text NOT NULL,
    "type" text NOT NULL,
    "place" text NOT NULL,
    "provider" text NOT NULL,
    "address" text NULL,
    "port" integer NOT NULL,
    "location" text NULL,
    "status" text NOT NULL,
    "phase" text NOT NULL,
    "document" text NULL,
    "document_generation" integer NOT NULL,
    "document_digest" text NULL,
    "applied_generation" integer NOT NULL,
    "applied_digest" text NULL,
    "health" text NOT NULL,
    "message" text NOT NULL,
    "facts" text NOT NULL,
    "errors" text NOT NULL,
    "removed" boolean NOT NULL,
    "last_seen_at" integer NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "deleting_at" integer NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_nodes_provider_address_key" ON "metapaas_nodes" ("provider", "address");
CREATE UNIQUE INDEX "metapaas_nodes_instance_id_place_key" ON "metapaas_nodes" ("instance_id", "place");
CREATE INDEX "metapaas_nodes_last_seen_at_idx" ON "metapaas_nodes" ("last_seen_at");

CREATE TABLE "metapaas_projects" (
    "id" text NOT NULL,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "revision" integer NOT NULL,
    "deleting_at" integer NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_projects_name_key" ON "metapaas_projects" ("name");

CREATE TABLE "metapaas_bindings" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "principal_kind" text NOT NULL,
    "principal_id" text NOT NULL,
    "role" text NOT NULL,
    "created_at" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_bindings_project_id_principal_kind_principal_4665fffc" ON "metapaas_bindings" ("project_id", "principal_kind", "principal_id", "role");
CREATE INDEX "metapaas_bindings_principal_id_idx" ON "metapaas_bindings" ("principal_id");

CREATE TABLE "metapaas_replicas" (
    "id" text NOT NULL,
    "url" text NOT NULL,
    "started_at" integer NOT NULL,
    "seen_at" integer NOT NULL,
    PRIMARY KEY ("id")
);

CREATE TABLE "metapaas_service_accounts" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "disabled" boolean NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "revision" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_service_accounts_project_id_name_key" ON "metapaas_service_accounts" ("project_id", "name");

CREATE TABLE "metapaas_service_tokens" (
    "id" text NOT NULL,
    "service_account_id" text NOT NULL REFERENCES "metapaas_service_accounts" ("id") ON DELETE CASCADE,
    "token_hash" text NOT NULL,
    "description" text NOT NULL,
    "created_at" integer NOT NULL,
    "expires_at" integer NULL,
    "last_used_at" integer NULL,
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
    "id" text NOT NULL,
    "name" text NOT NULL,
    "password_hash" text NULL,
    "email" text NULL,
    "disabled" boolean NOT NULL,
    "must_change_password" boolean NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "revision" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_users_name_key" ON "metapaas_users" ("name");

CREATE TABLE "metapaas_sessions" (
    "id" text NOT NULL,
    "user_id" text NOT NULL REFERENCES "metapaas_users" ("id") ON DELETE CASCADE,
    "refresh_hash" text NOT NULL,
    "created_at" integer NOT NULL,
    "expires_at" integer NOT NULL,
    "revoked_at" integer NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_sessions_refresh_hash_key" ON "metapaas_sessions" ("refresh_hash");
CREATE INDEX "metapaas_sessions_user_id_idx" ON "metapaas_sessions" ("user_id");
CREATE INDEX "metapaas_sessions_expires_at_idx" ON "metapaas_sessions" ("expires_at");

CREATE TABLE "metapaas_work" (
    "resource_id" text NOT NULL,
    "type" text NOT NULL,
    "due_at" integer NULL,
    "priority" integer NOT NULL,
    "attempts" integer NOT NULL,
    "wake" integer NOT NULL,
    "claimed_wake" integer NOT NULL,
    "lease_owner" text NULL,
    "epoch" integer NOT NULL,
    "lease_until" integer NULL,
    "waiting_for" text NULL,
    "last_error" text NULL,
    PRIMARY KEY ("resource_id")
);
CREATE INDEX "metapaas_work_due_at_idx" ON "metapaas_work" ("due_at");
CREATE INDEX "metapaas_work_waiting_for_idx" ON "metapaas_work" ("waiting_for");

-- demo
CREATE TABLE "demo_instances" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "version" text NOT NULL,
    "labels" text NOT NULL,
    "status" text NOT NULL,
    "conditions" text NOT NULL,
    "nodes" text NOT NULL,
    "generation" integer NOT NULL,
    "observed_generation" integer NOT NULL,
    "revision" integer NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "deleting_at" integer NULL,
    "greeting" text NOT NULL,
    "replicas" integer NOT NULL,
    "theme" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "demo_instances_name_project_id_key" ON "demo_instances" ("name", "project_id");
CREATE INDEX "demo_instances_project_id_id_idx" ON "demo_instances" ("project_id", "id");

CREATE TABLE "demo_pages" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" text NOT NULL REFERENCES "demo_instances" ("id") ON DELETE RESTRICT,
    "parent_id" text NOT NULL REFERENCES "demo_instances" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" text NOT NULL,
    "status" text NOT NULL,
    "conditions" text NOT NULL,
    "generation" integer NOT NULL,
    "observed_generation" integer NOT NULL,
    "held_generation" integer NOT NULL,
    "revision" integer NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "deleting_at" integer NULL,
    "path" text NOT NULL,
    "text" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "demo_pages_parent_id_path_key" ON "demo_pages" ("parent_id", "path");
CREATE INDEX "demo_pages_instance_id_id_idx" ON "demo_pages" ("instance_id", "id");
CREATE INDEX "demo_pages_parent_id_id_idx" ON "demo_pages" ("parent_id", "id");
