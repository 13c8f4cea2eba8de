// Written by `metapaas migrate make`.
::metapaas_core::migration::Migrations::NONE
