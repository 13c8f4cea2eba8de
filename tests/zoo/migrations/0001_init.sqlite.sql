CREATE TABLE "zoo_instances" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "version" text NOT NULL,
    "deletion_protection" boolean NULL,
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
    "site" text NOT NULL,
    "open" boolean NOT NULL,
    "paths" integer NOT NULL,
    "height" integer NULL,
    "price" double NOT NULL,
    "sign" text NOT NULL,
    "gate" text NOT NULL,
    "map_id" text NULL,
    "since" integer NULL,
    "visit" integer NULL,
    "climate" text NOT NULL,
    "shops" text NOT NULL,
    "animals" text NOT NULL,
    "notes" text NULL,
    "domain" text NULL,
    "contact" text NULL,
    "pictures" text NULL,
    "network" text NULL,
    "key" text NULL,
    "master_key" text NOT NULL,
    "partner" text NULL REFERENCES "zoo_instances" ("id") ON DELETE RESTRICT,
    "visitors" integer NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "zoo_instances_name_project_id_key" ON "zoo_instances" ("name", "project_id");
CREATE INDEX "zoo_instances_project_id_id_idx" ON "zoo_instances" ("project_id", "id");
CREATE UNIQUE INDEX "zoo_instances_project_id_site_key" ON "zoo_instances" ("project_id", "site");
CREATE INDEX "zoo_instances_partner_idx" ON "zoo_instances" ("partner");
CREATE INDEX "zoo_instances_project_id_name_idx" ON "zoo_instances" ("project_id", "name");
CREATE INDEX "zoo_instances_status_id_idx" ON "zoo_instances" ("status", "id");
CREATE INDEX "zoo_instances_project_id_status_id_idx" ON "zoo_instances" ("project_id", "status", "id");

CREATE TABLE "zoo_houses" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" text NOT NULL REFERENCES "zoo_instances" ("id") ON DELETE RESTRICT,
    "parent_id" text NOT NULL REFERENCES "zoo_instances" ("id") ON DELETE RESTRICT,
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
    "name" text NOT NULL,
    "degrees" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "zoo_houses_parent_id_name_key" ON "zoo_houses" ("parent_id", "name");
CREATE INDEX "zoo_houses_instance_id_id_idx" ON "zoo_houses" ("instance_id", "id");
CREATE INDEX "zoo_houses_parent_id_id_idx" ON "zoo_houses" ("parent_id", "id");
CREATE INDEX "zoo_houses_parent_id_status_id_idx" ON "zoo_houses" ("parent_id", "status", "id");

CREATE TABLE "zoo_cages" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" text NOT NULL REFERENCES "zoo_instances" ("id") ON DELETE RESTRICT,
    "parent_id" text NOT NULL REFERENCES "zoo_houses" ("id") ON DELETE RESTRICT,
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
    "animal" text NOT NULL,
    "food" text NULL REFERENCES "zoo_houses" ("id") ON DELETE RESTRICT,
    PRIMARY KEY ("id")
);
CREATE INDEX "zoo_cages_instance_id_id_idx" ON "zoo_cages" ("instance_id", "id");
CREATE INDEX "zoo_cages_parent_id_id_idx" ON "zoo_cages" ("parent_id", "id");
CREATE INDEX "zoo_cages_food_idx" ON "zoo_cages" ("food");
CREATE INDEX "zoo_cages_parent_id_status_id_idx" ON "zoo_cages" ("parent_id", "status", "id");
