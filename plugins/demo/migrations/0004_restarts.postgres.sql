ALTER TABLE "demo_instances" ADD COLUMN "restarts" bigint NULL;
