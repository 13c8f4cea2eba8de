ALTER TABLE "demo_instances" ADD COLUMN "restarts" integer NULL;
